// Plain C++: 8 lanes in arrays, for any processor. Included inside a namespace of its own; see kernels.h.

constexpr int W = 8;
constexpr int PANEL = 2;
constexpr int FLOAT_PANEL = 4;
constexpr int QUERIES = 2;
constexpr bool OFFSET_BYTES = false, SHORT_SUMS = false;

struct F {
  float v[W];
};
struct I {
  int32_t v[W];
};
struct Quads {
  uint8_t v[4 * W];
};

template <class Op>
INLINE F each(Op op) {
  F r;
  for (int i = 0; i < W; i++) r.v[i] = op(i);
  return r;
}

INLINE F broadcast(float x) {
  return each([&](int) { return x; });
}
INLINE F zero() { return broadcast(0.0f); }
INLINE F load(const float* p) {
  return each([&](int i) { return p[i]; });
}
INLINE void store(float* p, const F& a) {
  for (int i = 0; i < W; i++) p[i] = a.v[i];
}
INLINE F add(const F& a, const F& b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
INLINE F sub(const F& a, const F& b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
INLINE F mul(const F& a, const F& b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
INLINE F div(const F& a, const F& b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
INLINE F fma(const F& a, const F& b, const F& c) {
  return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
INLINE F max(const F& a, const F& b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
INLINE F min(const F& a, const F& b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
INLINE F absolute(const F& a) {
  return each([&](int i) { return fabsf(a.v[i]); });
}
INLINE F nearest(const F& a) {
  return each([&](int i) { return nearbyintf(a.v[i]); });
}
INLINE F times_power_of_two(const F& a, const F& n) {
  return each([&](int i) { return ldexpf(a.v[i], static_cast<int>(n.v[i])); });
}
INLINE F where_less(const F& a, const F& b, const F& yes, const F& no) {
  return each([&](int i) { return a.v[i] < b.v[i] ? yes.v[i] : no.v[i]; });
}
INLINE float largest(const F& a) {
  float r = a.v[0];
  for (int i = 1; i < W; i++) r = a.v[i] > r ? a.v[i] : r;
  return r;
}
INLINE float sum(const F& a) {
  float r = a.v[0];
  for (int i = 1; i < W; i++) r += a.v[i];
  return r;
}
INLINE F load_half(const uint16_t* p) {
  return each([&](int i) { return half_to_float(p[i]); });
}
INLINE void store_half(uint16_t* p, const F& a) {
  for (int i = 0; i < W; i++) p[i] = float_to_half(a.v[i]);
}
INLINE F load_brain(const uint16_t* p) {
  return each([&](int i) { return brain_to_float(p[i]); });
}
INLINE F load_bytes(const int8_t* p) {
  return each([&](int i) { return static_cast<float>(p[i]); });
}
INLINE void store_bytes(int8_t* p, const F& a) {
  for (int i = 0; i < W; i++) p[i] = static_cast<int8_t>(nearbyintf(a.v[i]));
}

INLINE F to_float(const I& a) {
  return each([&](int i) { return static_cast<float>(a.v[i]); });
}
INLINE Quads load_quads(const uint8_t* p) {
  Quads q;
  __builtin_memcpy(q.v, p, sizeof q.v);
  return q;
}
INLINE Quads low_nibbles(Quads q) {
  for (uint8_t& x : q.v) x &= 15;
  return q;
}
INLINE Quads high_nibbles(Quads q) {
  for (uint8_t& x : q.v) x >>= 4;
  return q;
}
INLINE Quads shifted(Quads q, int left, int mask) {
  for (uint8_t& x : q.v) x = (left < 0 ? x >> -left : x << left) & mask;
  return q;
}
INLINE Quads merged(Quads a, const Quads& b) {
  for (int i = 0; i < 4 * W; i++) a.v[i] |= b.v[i];
  return a;
}
INLINE I joined(I a, const I& b) {
  for (int i = 0; i < W; i++) a.v[i] += b.v[i];
  return a;
}
INLINE I plus(I a, int32_t b) {
  for (int32_t& x : a.v) x += b;
  return a;
}

using Sum4 = I;
INLINE void clear(Sum4& s) { s = I{}; }
INLINE void add(Sum4& s, const Quads& w, const int8_t* a) {
  for (int i = 0; i < 4 * W; i++) s.v[i / 4] += w.v[i] * a[i % 4];
}
INLINE I total(const Sum4& s) { return s; }

using Quads8 = Quads;
INLINE Quads8 prepared(const Quads& q) { return q; }
struct Sum8 {
  I v;
};
INLINE void clear(Sum8& s, int32_t) { s.v = I{}; }
INLINE void add(Sum8& s, const Quads8& w, const int8_t* a) {
  for (int i = 0; i < 4 * W; i++) s.v.v[i / 4] += static_cast<int8_t>(w.v[i]) * a[i % 4];
}
INLINE I total(const Sum8& s) { return s.v; }
