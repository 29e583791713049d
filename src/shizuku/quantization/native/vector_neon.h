// NEON of 64-bit ARM: 8 lanes in pairs of registers; with SHIZUKU_DOT the byte products of Armv8.2.
// Included inside a namespace of its own; see kernels.h.

constexpr int W = 8;
constexpr int PANEL = 4;
constexpr int FLOAT_PANEL = 8;
constexpr int QUERIES = 4;
constexpr bool OFFSET_BYTES = false, SHORT_SUMS = false;

struct F {
  float32x4_t a, b;
};
struct I {
  int32x4_t a, b;
};
struct Quads {
  uint8x16_t a, b;
};

INLINE F broadcast(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
INLINE F zero() { return broadcast(0.0f); }
INLINE F load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
INLINE void store(float* p, F x) {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
}
INLINE F add(F x, F y) { return {vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b)}; }
INLINE F sub(F x, F y) { return {vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b)}; }
INLINE F mul(F x, F y) { return {vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b)}; }
INLINE F div(F x, F y) { return {vdivq_f32(x.a, y.a), vdivq_f32(x.b, y.b)}; }
INLINE F fma(F x, F y, F z) { return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b)}; }
INLINE F max(F x, F y) { return {vmaxq_f32(x.a, y.a), vmaxq_f32(x.b, y.b)}; }
INLINE F min(F x, F y) { return {vminq_f32(x.a, y.a), vminq_f32(x.b, y.b)}; }
INLINE F absolute(F x) { return {vabsq_f32(x.a), vabsq_f32(x.b)}; }
INLINE F nearest(F x) { return {vrndnq_f32(x.a), vrndnq_f32(x.b)}; }
INLINE float32x4_t power_of_two(int32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
INLINE float32x4_t scaled(float32x4_t x, float32x4_t n) {
  // In two steps, so that results below the smallest normal number come out right.
  const int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
  return vmulq_f32(vmulq_f32(x, power_of_two(half)), power_of_two(vsubq_s32(whole, half)));
}
INLINE F times_power_of_two(F x, F n) { return {scaled(x.a, n.a), scaled(x.b, n.b)}; }
INLINE F where_less(F x, F y, F yes, F no) {
  return {vbslq_f32(vcltq_f32(x.a, y.a), yes.a, no.a), vbslq_f32(vcltq_f32(x.b, y.b), yes.b, no.b)};
}
INLINE float largest(F x) { return vmaxvq_f32(vmaxq_f32(x.a, x.b)); }
INLINE float sum(F x) { return vaddvq_f32(vaddq_f32(x.a, x.b)); }
INLINE F load_half(const uint16_t* p) {
  const uint16x8_t x = vld1q_u16(p);
  return {vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(x))), vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(x)))};
}
INLINE void store_half(uint16_t* p, F x) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x.a)));
  vst1_u16(p + 4, vreinterpret_u16_f16(vcvt_f16_f32(x.b)));
}
INLINE F load_brain(const uint16_t* p) {
  const uint16x8_t x = vld1q_u16(p);
  return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(x), 16)),
          vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(x), 16))};
}
INLINE F load_bytes(const int8_t* p) {
  const int16x8_t x = vmovl_s8(vld1_s8(p));
  return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(x))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(x)))};
}
INLINE void store_bytes(int8_t* p, F x) {
  const int16x4_t a = vqmovn_s32(vcvtnq_s32_f32(x.a)), b = vqmovn_s32(vcvtnq_s32_f32(x.b));
  vst1_s8(p, vqmovn_s16(vcombine_s16(a, b)));
}

INLINE F to_float(I x) { return {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b)}; }
INLINE I joined(I x, I y) { return {vaddq_s32(x.a, y.a), vaddq_s32(x.b, y.b)}; }
INLINE I plus(I x, int32_t y) { return joined(x, {vdupq_n_s32(y), vdupq_n_s32(y)}); }
INLINE Quads load_quads(const uint8_t* p) { return {vld1q_u8(p), vld1q_u8(p + 16)}; }
INLINE Quads low_nibbles(Quads q) { return {vandq_u8(q.a, vdupq_n_u8(15)), vandq_u8(q.b, vdupq_n_u8(15))}; }
INLINE Quads high_nibbles(Quads q) { return {vshrq_n_u8(q.a, 4), vshrq_n_u8(q.b, 4)}; }
INLINE Quads merged(Quads x, Quads y) { return {vorrq_u8(x.a, y.a), vorrq_u8(x.b, y.b)}; }
INLINE Quads shifted(Quads q, int left, int mask) {
  const int8x16_t by = vdupq_n_s8(static_cast<int8_t>(left));
  const uint8x16_t kept = vdupq_n_u8(static_cast<uint8_t>(mask));
  return {vandq_u8(vshlq_u8(q.a, by), kept), vandq_u8(vshlq_u8(q.b, by), kept)};
}
INLINE int8x16_t four(const int8_t* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(x));
}
// Sums of four neighbouring products: each fits into 16 bits, their pairs go to 32.
INLINE int32x4_t four_products(int32x4_t sum, int8x16_t w, int8x16_t a) {
#ifdef SHIZUKU_DOT
  return vdotq_s32(sum, w, a);
#else
  const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(a)), high = vmull_high_s8(w, a);
  return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}

struct Sum4 {
  I v;
};
INLINE void clear(Sum4& s) { s.v = {vdupq_n_s32(0), vdupq_n_s32(0)}; }
INLINE void add(Sum4& s, Quads w, const int8_t* a) {
  const int8x16_t x = four(a);
  s.v.a = four_products(s.v.a, vreinterpretq_s8_u8(w.a), x);
  s.v.b = four_products(s.v.b, vreinterpretq_s8_u8(w.b), x);
}
INLINE I total(const Sum4& s) { return s.v; }

using Quads8 = Quads;
INLINE Quads8 prepared(Quads q) { return q; }
struct Sum8 {
  I v;
};
INLINE void clear(Sum8& s, int32_t) { s.v = {vdupq_n_s32(0), vdupq_n_s32(0)}; }
INLINE void add(Sum8& s, Quads8 w, const int8_t* a) {
  const int8x16_t x = four(a);
  s.v.a = four_products(s.v.a, vreinterpretq_s8_u8(w.a), x);
  s.v.b = four_products(s.v.b, vreinterpretq_s8_u8(w.b), x);
}
INLINE I total(const Sum8& s) { return s.v; }
