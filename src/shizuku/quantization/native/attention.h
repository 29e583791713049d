// Attention over cache blocks. Included once for each instruction set, inside its namespace.
//
// A query goes through the blocks of its sequence in their order, BLOCK keys at a time, with a running maximum
// and sum; keys that it may not see add exact zeros. So its result is the same whichever queries stand beside it.

constexpr int VALUE_LANES = 2 * W;

struct CacheHalf {
  using Element = uint16_t;
  static constexpr bool SCALED = false;
  INLINE F load(const Element* p) { return load_half(p); }
};
struct CacheFloat {
  using Element = float;
  static constexpr bool SCALED = false;
  INLINE F load(const Element* p) { return ::SHIZUKU_SET::load(p); }
};
struct CacheBytes {
  using Element = int8_t;
  static constexpr bool SCALED = true;
  INLINE F load(const Element* p) { return load_bytes(p); }
};

// One layer's one key-value head in one block.
template <class C>
struct Region {
  typename C::Element* keys;    // [head width, BLOCK]
  typename C::Element* values;  // [BLOCK, value width]
  float* scales;                // of BLOCK keys, then of BLOCK values
  Region(const Model& m, int block, int layer, int head) {
    uint8_t* at = m.blocks[block] + (static_cast<size_t>(layer) * m.s.kv_heads + head) * m.head_bytes;
    keys = reinterpret_cast<typename C::Element*>(at);
    values = keys + static_cast<size_t>(m.s.head_width) * BLOCK;
    scales = reinterpret_cast<float*>(values + static_cast<size_t>(m.value_width) * BLOCK);
  }
};

INLINE void narrow(const float* x, int width, uint16_t* out, float&) {
  alignas(64) float last[W];
  alignas(64) uint16_t bits[W];
  int i = 0;
  for (; i + W <= width; i += W) store_half(out + i, load(x + i));
  if (i == width) return;
  for (int r = 0; r < W; r++) last[r] = i + r < width ? x[i + r] : 0.0f;
  store_half(bits, load(last));
  for (int r = 0; i + r < width; r++) out[i + r] = bits[r];
}
INLINE void narrow(const float* x, int width, float* out, float&) {
  for (int i = 0; i < width; i++) out[i] = x[i];
}
INLINE void narrow(const float* x, int width, int8_t* out, float& scale) {
  float extreme = 0.0f;
  for (int i = 0; i < width; i++) extreme = fabsf(x[i]) > extreme ? fabsf(x[i]) : extreme;
  const float inverse = extreme > 0.0f ? 127.0f / extreme : 0.0f;
  for (int i = 0; i < width; i++) out[i] = static_cast<int8_t>(nearbyintf(x[i] * inverse));
  scale = extreme / 127.0f;
}

// Keys and values of one token and head into the cache.
template <class C>
static void remember(const Model& m, int block, int slot, int layer, int head, const float* key, const float* value) {
  const Region<C> to(m, block, layer, head);
  typename C::Element column[1024];
  float key_scale = 1.0f, value_scale = 1.0f;
  narrow(key, m.s.head_width, column, key_scale);
  for (int d = 0; d < m.s.head_width; d++) to.keys[d * BLOCK + slot] = column[d];
  narrow(value, m.s.head_width, to.values + static_cast<size_t>(slot) * m.value_width, value_scale);
  if (C::SCALED) {
    to.scales[slot] = key_scale;
    to.scales[BLOCK + slot] = value_scale;
  }
}

// N queries of one sequence that share a key-value head.
struct Queries {
  int layer, head, window;
  const int32_t* blocks;
  const float* query;  // [N, head width], scaled
  float* sums;         // [N, value width]
  int position[QUERIES];
  float slope[QUERIES];
  float* out[QUERIES];
};

template <class C, int N>
static void scores(const Model& m, const Region<C>& r, const float* query, float (*s)[BLOCK]) {
  const int width = m.s.head_width;
  for (int v = 0; v < BLOCK; v += 2 * W) {
    F t[N][2];
    UNROLL for (int n = 0; n < N; n++) t[n][0] = t[n][1] = zero();
    for (int d = 0; d < width; d++) {
      const F k0 = C::load(r.keys + d * BLOCK + v), k1 = C::load(r.keys + d * BLOCK + v + W);
      UNROLL for (int n = 0; n < N; n++) {
        const F q = broadcast(query[n * width + d]);
        t[n][0] = fma(q, k0, t[n][0]);
        t[n][1] = fma(q, k1, t[n][1]);
      }
    }
    UNROLL for (int n = 0; n < N; n++) {
      store(s[n] + v, t[n][0]);
      store(s[n] + v + W, t[n][1]);
    }
  }
}

template <class C, int N, int VECTORS>
INLINE void weigh(const Model& m, const Region<C>& r, float (*s)[BLOCK], int keys, int at, float* sums) {
  F t[N][VECTORS];
  UNROLL for (int n = 0; n < N; n++) {
    UNROLL for (int i = 0; i < VECTORS; i++) t[n][i] = load(sums + n * m.value_width + at + i * W);
  }
  for (int key = 0; key < keys; key++) {
    F v[VECTORS];
    UNROLL for (int i = 0; i < VECTORS; i++) v[i] = C::load(r.values + static_cast<size_t>(key) * m.value_width + at + i * W);
    UNROLL for (int n = 0; n < N; n++) {
      const F p = broadcast(s[n][key]);
      UNROLL for (int i = 0; i < VECTORS; i++) t[n][i] = fma(p, v[i], t[n][i]);
    }
  }
  UNROLL for (int n = 0; n < N; n++) {
    UNROLL for (int i = 0; i < VECTORS; i++) store(sums + n * m.value_width + at + i * W, t[n][i]);
  }
}

// The softmax's step of one query over one block: scores become weights; `sums` is scaled to the new maximum.
template <class C>
static void soften(const Model& m, const Region<C>& r, const Queries& a, int n, int first, float* s, float& most, F& mass) {
  alignas(64) static const float COUNT[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                              16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
  constexpr int V = BLOCK / W;
  const float nothing = -__builtin_inff();
  const int position = a.position[n];
  const F after = broadcast(static_cast<float>(position - first) + 0.5f);
  const F before = broadcast(a.window ? static_cast<float>(position - a.window - first) + 0.5f : nothing);
  F t[V], top = broadcast(nothing);
  UNROLL for (int i = 0; i < V; i++) {
    const F key = load(COUNT + i * W);
    F x = load(s + i * W);
    if (C::SCALED) x = mul(x, load(r.scales + i * W));
    if (m.s.attention_cap > 0.0f) x = capped(x, m.s.attention_cap);
    if (!m.slopes.empty()) x = sub(x, mul(broadcast(a.slope[n]), sub(broadcast(static_cast<float>(position - first)), key)));
    x = where_less(key, after, where_less(before, key, x, broadcast(nothing)), broadcast(nothing));
    t[i] = x;
    top = max(top, x);
  }
  const float block_most = largest(top);
  if (block_most == nothing) {
    UNROLL for (int i = 0; i < V; i++) store(s + i * W, zero());
    return;
  }
  if (block_most > most) {
    const F factor = exponential(broadcast(most == nothing ? nothing : most - block_most));
    for (int d = 0; d < m.value_width; d += W) {
      store(a.sums + n * m.value_width + d, mul(load(a.sums + n * m.value_width + d), factor));
    }
    mass = mul(mass, factor);
    most = block_most;
  }
  UNROLL for (int i = 0; i < V; i++) {
    const F visible = where_less(broadcast(nothing), t[i], broadcast(1.0f), zero());
    F p = mul(exponential(sub(max(t[i], broadcast(-3e38f)), broadcast(most))), visible);
    mass = add(mass, p);
    if (C::SCALED) p = mul(p, load(r.scales + BLOCK + i * W));
    store(s + i * W, p);
  }
}

template <class C, int N>
static void attend(const Model& m, const Queries& a) {
  alignas(64) float s[N][BLOCK];
  float most[N];
  F mass[N];
  int last = 0, first = a.window ? a.position[0] : 0;
  for (int n = 0; n < N; n++) {
    most[n] = -__builtin_inff();
    mass[n] = zero();
    last = a.position[n] > last ? a.position[n] : last;
    if (a.window) first = a.position[n] - a.window + 1 < first ? a.position[n] - a.window + 1 : first;
  }
  first = first < 0 ? 0 : first;
  for (int i = 0; i < N * m.value_width; i += W) store(a.sums + i, zero());
  for (int b = first / BLOCK; b <= last / BLOCK; b++) {
    const Region<C> r(m, a.blocks[b], a.layer, a.head);
    scores<C, N>(m, r, a.query, s);
    for (int n = 0; n < N; n++) soften<C>(m, r, a, n, b * BLOCK, s[n], most[n], mass[n]);
    const int keys = last - b * BLOCK + 1 < BLOCK ? last - b * BLOCK + 1 : BLOCK;
    int at = 0;
    if (N <= 4 && W == 16) {
      for (; at + 4 * W <= m.value_width; at += 4 * W) weigh<C, N, 4>(m, r, s, keys, at, a.sums);
    }
    for (; at < m.value_width; at += 2 * W) weigh<C, N, 2>(m, r, s, keys, at, a.sums);
  }
  for (int n = 0; n < N; n++) {
    const float share = 1.0f / sum(mass[n]);
    for (int d = 0; d < m.s.head_width; d++) a.out[n][d] = a.sums[n * m.value_width + d] * share;
  }
}

template <class C>
static void attend(const Model& m, Queries& a, int count) {
  int n = 0;
  const auto shift = [&](int by) {
    n += by;
    a.query += by * m.s.head_width;
    for (int i = 0; i + n < count; i++) a.position[i] = a.position[i + by], a.slope[i] = a.slope[i + by], a.out[i] = a.out[i + by];
  };
  if (count == QUERIES) return attend<C, QUERIES>(m, a);
  if constexpr (QUERIES > 4) {
    if (count - n >= 4) attend<C, 4>(m, a), shift(4);
  }
  if constexpr (QUERIES > 2) {
    if (count - n == 3) attend<C, 3>(m, a), shift(3);
    if (count - n >= 2) attend<C, 2>(m, a), shift(2);
  }
  if (count - n >= 1) attend<C, 1>(m, a);
}
