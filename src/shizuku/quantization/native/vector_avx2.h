// AVX2 with FMA and F16C: 8 lanes; with SHIZUKU_VNNI the byte products of AVX-VNNI.
// Included inside a namespace of its own; see kernels.h for what a vector is.

constexpr int W = 8;
constexpr int PANEL = 4;
constexpr int FLOAT_PANEL = 12;
constexpr int QUERIES = 4;

using F = __m256;
using I = __m256i;
using Quads = __m256i;

INLINE F zero() { return _mm256_setzero_ps(); }
INLINE F broadcast(float x) { return _mm256_set1_ps(x); }
INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
INLINE void store(float* p, F a) { _mm256_storeu_ps(p, a); }
INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
INLINE F sub(F a, F b) { return _mm256_sub_ps(a, b); }
INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
INLINE F div(F a, F b) { return _mm256_div_ps(a, b); }
INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
INLINE F max(F a, F b) { return _mm256_max_ps(a, b); }
INLINE F min(F a, F b) { return _mm256_min_ps(a, b); }
INLINE F absolute(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
INLINE F nearest(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE F times_power_of_two(F a, F n) {
  // In two steps, so that results below the smallest normal number come out right.
  const I whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
  const I one = _mm256_set1_epi32(127);
  a = mul(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, one), 23)));
  return mul(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, one), 23)));
}
INLINE F where_less(F a, F b, F yes, F no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
INLINE float largest(F a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}
INLINE float sum(F a) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
INLINE F load_half(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
INLINE void store_half(uint16_t* p, F a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
INLINE F load_brain(const uint16_t* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}
INLINE F load_bytes(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
INLINE void store_bytes(int8_t* p, F a) {
  const I whole = _mm256_cvtps_epi32(a);
  const __m128i pairs = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(pairs, pairs));
}

INLINE F to_float(I a) { return _mm256_cvtepi32_ps(a); }
INLINE Quads load_quads(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
INLINE Quads low_nibbles(Quads q) { return _mm256_and_si256(q, _mm256_set1_epi8(15)); }
INLINE Quads high_nibbles(Quads q) { return _mm256_and_si256(_mm256_srli_epi16(q, 4), _mm256_set1_epi8(15)); }
INLINE Quads shifted(Quads q, int left, int mask) {
  return _mm256_and_si256(left < 0 ? _mm256_srli_epi16(q, -left) : _mm256_slli_epi16(q, left), _mm256_set1_epi8(mask));
}
INLINE Quads merged(Quads a, Quads b) { return _mm256_or_si256(a, b); }
INLINE I four(const int8_t* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return _mm256_set1_epi32(x);
}
INLINE I joined(I a, I b) { return _mm256_add_epi32(a, b); }
INLINE I plus(I a, int32_t b) { return _mm256_add_epi32(a, _mm256_set1_epi32(b)); }

struct Sum4 {
  I v;
};
struct Sum8 {
  I v;
};
INLINE void clear(Sum4& s) { s.v = _mm256_setzero_si256(); }

#ifdef SHIZUKU_VNNI
constexpr bool OFFSET_BYTES = true, SHORT_SUMS = false;
using Quads8 = Quads;
INLINE Quads8 prepared(Quads q) { return q; }
INLINE void add(Sum4& s, Quads w, const int8_t* a) { s.v = _mm256_dpbusd_avx_epi32(s.v, w, four(a)); }
INLINE I total(const Sum4& s) { return s.v; }
INLINE void clear(Sum8& s, int32_t a_sum) { s.v = _mm256_set1_epi32(-128 * a_sum); }
INLINE void add(Sum8& s, Quads8 w, const int8_t* a) { s.v = _mm256_dpbusd_avx_epi32(s.v, w, four(a)); }
#else
constexpr bool OFFSET_BYTES = false, SHORT_SUMS = true;
struct Quads8 {
  Quads signs, size;
};
INLINE Quads8 prepared(Quads q) { return {q, _mm256_abs_epi8(q)}; }
// 8 products of pairs, each at most 2 * 15 * 127, stay within 16 bits.
INLINE void add(Sum4& s, Quads w, const int8_t* a) { s.v = _mm256_add_epi16(s.v, _mm256_maddubs_epi16(w, four(a))); }
INLINE I total(const Sum4& s) { return _mm256_madd_epi16(s.v, _mm256_set1_epi16(1)); }
INLINE void clear(Sum8& s, int32_t) { s.v = _mm256_setzero_si256(); }
// A pair is at most 2 * 128 * 127: one fits into 16 bits, two would not.
INLINE void add(Sum8& s, Quads8 w, const int8_t* a) {
  const I pairs = _mm256_maddubs_epi16(w.size, _mm256_sign_epi8(four(a), w.signs));
  s.v = _mm256_add_epi32(s.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif
INLINE I total(const Sum8& s) { return s.v; }
