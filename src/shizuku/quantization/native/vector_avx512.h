// AVX-512 with VNNI: 16 lanes. Included inside a namespace of its own; see kernels.h for what a vector is.

constexpr int W = 16;
constexpr int PANEL = 8;
constexpr int FLOAT_PANEL = 12;
constexpr int QUERIES = 8;
constexpr bool OFFSET_BYTES = true, SHORT_SUMS = false;

using F = __m512;
using I = __m512i;
using Quads = __m512i;

INLINE F zero() { return _mm512_setzero_ps(); }
INLINE F broadcast(float x) { return _mm512_set1_ps(x); }
INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
INLINE void store(float* p, F a) { _mm512_storeu_ps(p, a); }
INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
INLINE F absolute(F a) { return _mm512_abs_ps(a); }
INLINE F nearest(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE F times_power_of_two(F a, F n) { return _mm512_scalef_ps(a, n); }
INLINE F where_less(F a, F b, F yes, F no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
INLINE float largest(F a) { return _mm512_reduce_max_ps(a); }
INLINE float sum(F a) { return _mm512_reduce_add_ps(a); }
INLINE F load_half(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
INLINE void store_half(uint16_t* p, F a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
INLINE F load_brain(const uint16_t* p) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}
INLINE F load_bytes(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
INLINE void store_bytes(int8_t* p, F a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a)));
}

INLINE F to_float(I a) { return _mm512_cvtepi32_ps(a); }
INLINE Quads load_quads(const uint8_t* p) { return _mm512_loadu_si512(p); }
INLINE Quads low_nibbles(Quads q) { return _mm512_and_si512(q, _mm512_set1_epi8(15)); }
INLINE Quads high_nibbles(Quads q) {
  return _mm512_and_si512(_mm512_srli_epi16(q, 4), _mm512_set1_epi8(15));
}
INLINE Quads shifted(Quads q, int left, int mask) {
  return _mm512_and_si512(left < 0 ? _mm512_srli_epi16(q, -left) : _mm512_slli_epi16(q, left), _mm512_set1_epi8(mask));
}
INLINE Quads merged(Quads a, Quads b) { return _mm512_or_si512(a, b); }
INLINE I four(const int8_t* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return _mm512_set1_epi32(x);
}

struct Sum4 {
  I v;
};
INLINE void clear(Sum4& s) { s.v = _mm512_setzero_si512(); }
INLINE void add(Sum4& s, Quads w, const int8_t* a) { s.v = _mm512_dpbusd_epi32(s.v, w, four(a)); }
INLINE I total(const Sum4& s) { return s.v; }

using Quads8 = Quads;
INLINE Quads8 prepared(Quads q) { return q; }
struct Sum8 {
  I v;
};
INLINE void clear(Sum8& s, int32_t a_sum) { s.v = _mm512_set1_epi32(-128 * a_sum); }
INLINE void add(Sum8& s, Quads8 w, const int8_t* a) { s.v = _mm512_dpbusd_epi32(s.v, w, four(a)); }
INLINE I total(const Sum8& s) { return s.v; }
INLINE I joined(I a, I b) { return _mm512_add_epi32(a, b); }
INLINE I plus(I a, int32_t b) { return _mm512_add_epi32(a, _mm512_set1_epi32(b)); }
