// Five and six bits, and GGUF's K-quants. Included once for each instruction set; formats.h says what a format is.
//
// A group of 32 columns lies in its tile as four quads of nibbles (columns 4 j and up low, 16 + 4 j and up high),
// and for the bits above the fourth one quad more (one bit a column: bit j for columns 4 j and up) or two (two
// bits a column). The scales of sub-blocks, which K-quants pack into six bits, are bytes here: Q4_K grows from
// 4.5 to 4.625 bits a weight by that, Q5_K from 5.5 to 5.625, the others not at all.

constexpr int SUPER = 256;  // columns of a K-quant's block

INLINE uint32_t word(const uint8_t* p) {
  uint32_t x;
  __builtin_memcpy(&x, p, 4);
  return x;
}

INLINE const uint16_t* halves(const uint8_t* p) { return reinterpret_cast<const uint16_t*>(p); }
INLINE const int8_t* bytes(const uint8_t* p) { return reinterpret_cast<const int8_t*>(p); }

// Where a group stands in a tile, and its numbers there.
template <int PLANES>
struct Packed {
  static constexpr int GROUP_BYTES = (4 + PLANES) * 4 * W;
  static constexpr uint32_t LOW = 0x0f0f0f0fu;

  // One row of one group from its eight words: four numbers below 2^(4 + PLANES) each.
  static void put(uint8_t* group, int r, const uint32_t* q) {
    uint8_t* to = group + r * 4;
    uint32_t plane[2] = {0, 0};
    for (int j = 0; j < 8; j++) {
      if (PLANES == 1) plane[0] |= (q[j] >> 4 & 0x01010101u) << j;
      if (PLANES == 2) plane[j / 4] |= (q[j] >> 4 & 0x03030303u) << 2 * (j % 4);
    }
    for (int j = 0; j < 4; j++) {
      const uint32_t both = (q[j] & LOW) | (q[j + 4] & LOW) << 4;
      __builtin_memcpy(to + j * 4 * W, &both, 4);
    }
    for (int p = 0; p < PLANES; p++) __builtin_memcpy(to + (4 + p) * 4 * W, &plane[p], 4);
  }

  static int number(const uint8_t* group, int r, int i) {
    const int j = i / 4, at = r * 4 + i % 4;
    const int both = group[j % 4 * 4 * W + at], low = j < 4 ? both & 15 : both >> 4;
    if (PLANES == 1) return low | (group[4 * 4 * W + at] >> j & 1) << 4;
    if (PLANES == 2) return low | (group[(4 + j / 4) * 4 * W + at] >> 2 * (j % 4) & 3) << 4;
    return low;
  }

  INLINE Quads above(const Quads* plane, int j) {
    return PLANES == 1 ? shifted(plane[0], 4 - j, 0x10) : shifted(plane[j / 4], 4 - 2 * (j % 4), 0x30);
  }

  // Products with one group of N rows of activations: over its first and second half, or both in `first`.
  // Sums of 16 bits hold eight products of pairs of four bits, four of five bits and two of six.
  template <int N, bool HALVES>
  INLINE void dots(const uint8_t* group, const Rows& a, int g, I* first, I* second) {
    constexpr int SUMS = SHORT_SUMS ? 1 << PLANES : HALVES ? 2 : 1;
    Sum4 part[N][SUMS];
    UNROLL for (int n = 0; n < N; n++) {
      UNROLL for (int i = 0; i < SUMS; i++) clear(part[n][i]);
    }
    Quads plane[2];
    UNROLL for (int p = 0; p < PLANES; p++) plane[p] = load_quads(group + (4 + p) * 4 * W);
    UNROLL for (int j = 0; j < 4; j++) {
      const Quads both = load_quads(group + j * 4 * W);
      Quads low = low_nibbles(both), high = high_nibbles(both);
      if (PLANES) {
        low = merged(low, above(plane, j));
        high = merged(high, above(plane, j + 4));
      }
      UNROLL for (int n = 0; n < N; n++) {
        const int8_t* at = a.q + n * a.q_stride + g * GROUP + j * 4;
        ::SHIZUKU_SET::add(part[n][j * SUMS / 8], low, at);
        ::SHIZUKU_SET::add(part[n][(j + 4) * SUMS / 8], high, at + 16);
      }
    }
    UNROLL for (int n = 0; n < N; n++) {
      I sums[SUMS];
      UNROLL for (int i = 0; i < SUMS; i++) sums[i] = total(part[n][i]);
      if (SUMS == 4) sums[0] = joined(sums[0], sums[1]), sums[1] = joined(sums[2], sums[3]);
      first[n] = HALVES || SUMS == 1 ? sums[0] : joined(sums[0], sums[1]);
      if (HALVES) second[n] = sums[SUMS > 1];
    }
  }
};

// Scale (q - 16), a scale for 32 columns.
struct FormatQ5_0 {
  static constexpr bool BITS = true;
  static constexpr int BLOCK_BYTES = 22;
  using In = Packed<1>;
  static size_t tile_bytes(int cols) { return static_cast<size_t>(cols / GROUP) * W * BLOCK_BYTES; }
  static void pack(const uint8_t* rows, size_t stride, int count, int cols, uint8_t* tile) {
    if (count < W) __builtin_memset(tile, 0, tile_bytes(cols));
    uint8_t* scales = tile + static_cast<size_t>(cols / GROUP) * In::GROUP_BYTES;
    for (int g = 0; g < cols / GROUP; g++, tile += In::GROUP_BYTES) {
      for (int r = 0; r < count; r++) {
        const uint8_t* block = rows + r * stride + static_cast<size_t>(g) * BLOCK_BYTES;
        const uint32_t high = word(block + 2);
        uint32_t q[8];
        for (int j = 0; j < 8; j++) {
          // Four neighbouring bits into the lowest bits of four bytes: each byte of the factor shifts one there.
          const uint32_t spread = (high >> 4 * j & 15) * 0x00204081u & 0x01010101u;
          q[j] = (word(block + 6 + j % 4 * 4) >> j / 4 * 4 & In::LOW) | spread << 4;
        }
        In::put(tile, r, q);
        __builtin_memcpy(scales + (static_cast<size_t>(g) * W + r) * 2, block, 2);
      }
    }
  }
  static const uint16_t* scales_of(const uint8_t* tile, int cols) {
    return reinterpret_cast<const uint16_t*>(tile + static_cast<size_t>(cols / GROUP) * In::GROUP_BYTES);
  }
  static void row(const uint8_t* tile, int r, int cols, float* out) {
    const uint16_t* scales = scales_of(tile, cols);
    for (int g = 0; g < cols / GROUP; g++, tile += In::GROUP_BYTES) {
      const float scale = half_to_float(scales[g * W + r]);
      for (int i = 0; i < GROUP; i++) out[g * GROUP + i] = scale * static_cast<float>(In::number(tile, r, i) - 16);
    }
  }
  template <int N>
  static void product(const uint8_t* tile, int cols, const Rows& a, float* out) {
    const uint16_t* scales = scales_of(tile, cols);
    F all[N];
    UNROLL for (int n = 0; n < N; n++) all[n] = zero();
    const uint8_t* begin = tile;
    for (int g = 0; g < cols / GROUP; g++, tile += In::GROUP_BYTES) {
      ask_ahead(begin + g * W * BLOCK_BYTES, W * BLOCK_BYTES);
      I dot[N];
      In::dots<N, false>(tile, a, g, dot, nullptr);
      const F scale = load_half(scales + g * W);
      UNROLL for (int n = 0; n < N; n++) {
        const F centred = to_float(plus(dot[n], -16 * a.sum[n * a.g_stride + g]));
        all[n] = fma(mul(centred, broadcast(a.scale[n * a.g_stride + g])), scale, all[n]);
      }
    }
    UNROLL for (int n = 0; n < N; n++) store(out + n * W, all[n]);
  }
};

// Q4_K and Q5_K: scale s q - least m; scale and least are halves of 256 columns, s and m six bits of 32.
// All that belongs to 256 columns lies together, so that a tile is read from one end to the other.
template <int PLANES>
struct Blocks {
  static constexpr bool BITS = true;
  static constexpr int BLOCK_BYTES = 144 + 32 * PLANES, SUPER_BYTES = W * (BLOCK_BYTES + 4);
  using In = Packed<PLANES>;
  // Scale and least [W] halves each, s and m [8, W] bytes each, then the integers of eight groups.
  template <class Byte>
  struct Parts {
    Byte *scale, *least, *s, *m, *groups;
    explicit Parts(Byte* at) : scale(at), least(scale + 2 * W), s(least + 2 * W), m(s + 8 * W), groups(m + 8 * W) {}
  };
  static size_t tile_bytes(int cols) { return static_cast<size_t>(cols / SUPER) * SUPER_BYTES; }
  static void pack(const uint8_t* rows, size_t stride, int count, int cols, uint8_t* tile) {
    if (count < W) __builtin_memset(tile, 0, tile_bytes(cols));
    for (int b = 0; b < cols / SUPER; b++, tile += SUPER_BYTES) {
      for (int r = 0; r < count; r++) pack_block(rows + r * stride + static_cast<size_t>(b) * BLOCK_BYTES, r, Parts<uint8_t>(tile));
    }
  }
  static void pack_block(const uint8_t* block, int r, const Parts<uint8_t>& to) {
    __builtin_memcpy(to.scale + 2 * r, block, 2);
    __builtin_memcpy(to.least + 2 * r, block + 2, 2);
    const uint8_t *packed = block + 4, *high = block + 16, *low = high + 32 * PLANES;
    for (int g = 0; g < 8; g++) {
      to.s[g * W + r] = g < 4 ? packed[g] & 63 : (packed[g + 4] & 15) | packed[g - 4] >> 6 << 4;
      to.m[g * W + r] = g < 4 ? packed[g + 4] & 63 : packed[g + 4] >> 4 | packed[g] >> 6 << 4;
      uint32_t q[8];
      for (int i = 0; i < 8; i++) {
        q[i] = word(low + g / 2 * 32 + i * 4) >> g % 2 * 4 & In::LOW;
        if (PLANES) q[i] |= (word(high + i * 4) >> g & 0x01010101u) << 4;
      }
      In::put(to.groups + g * In::GROUP_BYTES, r, q);
    }
  }
  static void row(const uint8_t* tile, int r, int cols, float* out) {
    for (int b = 0; b < cols / SUPER; b++, tile += SUPER_BYTES) {
      const Parts<const uint8_t> in(tile);
      for (int g = 0; g < 8; g++, out += GROUP) {
        const float scale = half_to_float(halves(in.scale)[r]) * in.s[g * W + r];
        const float least = half_to_float(halves(in.least)[r]) * in.m[g * W + r];
        for (int i = 0; i < GROUP; i++) out[i] = scale * In::number(in.groups + g * In::GROUP_BYTES, r, i) - least;
      }
    }
  }
  template <int N>
  static void product(const uint8_t* tile, int cols, const Rows& a, float* out) {
    F all[N];
    UNROLL for (int n = 0; n < N; n++) all[n] = zero();
    for (int b = 0; b < cols / SUPER; b++, tile += SUPER_BYTES) {
      const Parts<const uint8_t> in(tile);
      const F scale = load_half(halves(in.scale)), least = sub(zero(), load_half(halves(in.least)));
      for (int g = 0; g < 8; g++) {
        ask_ahead(tile + g * SUPER_BYTES / 8, SUPER_BYTES / 8);
        const int at = b * 8 + g;
        I dot[N];
        In::template dots<N, false>(in.groups + g * In::GROUP_BYTES, a, at, dot, nullptr);
        const F s = mul(scale, load_bytes(bytes(in.s + g * W))), m = mul(least, load_bytes(bytes(in.m + g * W)));
        UNROLL for (int n = 0; n < N; n++) {
          all[n] = fma(mul(to_float(dot[n]), broadcast(a.scale[n * a.g_stride + at])), s, all[n]);
          all[n] = fma(m, broadcast(a.whole[n * a.g_stride + at]), all[n]);
        }
      }
    }
    UNROLL for (int n = 0; n < N; n++) store(out + n * W, all[n]);
  }
};
using FormatQ4_K = Blocks<0>;
using FormatQ5_K = Blocks<1>;

// Scale s (q - 32); scale is a half of 256 columns, s a signed byte of 16. The s of 256 columns stand before their
// integers, the scales behind all, which keeps the integers where vectors are loaded best.
struct FormatQ6_K {
  static constexpr bool BITS = true;
  static constexpr int BLOCK_BYTES = 210, SUPER_BYTES = W * (BLOCK_BYTES - 2);
  using In = Packed<2>;
  static size_t tile_bytes(int cols) { return static_cast<size_t>(cols / SUPER) * W * BLOCK_BYTES; }
  static void pack(const uint8_t* rows, size_t stride, int count, int cols, uint8_t* tile) {
    if (count < W) __builtin_memset(tile, 0, tile_bytes(cols));
    uint8_t* scales = tile + static_cast<size_t>(cols / SUPER) * SUPER_BYTES;
    for (int b = 0; b < cols / SUPER; b++, tile += SUPER_BYTES, scales += 2 * W) {
      for (int r = 0; r < count; r++) {
        const uint8_t* block = rows + r * stride + static_cast<size_t>(b) * BLOCK_BYTES;
        __builtin_memcpy(scales + 2 * r, block + 208, 2);
        pack_block(block, r, tile);
      }
    }
  }
  static void pack_block(const uint8_t* block, int r, uint8_t* to) {
    for (int i = 0; i < 16; i++) to[i * W + r] = block[192 + i];
    for (int g = 0; g < 8; g++) {
      const int k = g % 4;  // the group's place in its 128 columns
      const uint8_t *low = block + g / 4 * 64 + k % 2 * 32, *high = block + 128 + g / 4 * 32;
      uint32_t q[8];
      for (int i = 0; i < 8; i++) {
        q[i] = word(low + i * 4) >> k / 2 * 4 & In::LOW;
        q[i] |= (word(high + i * 4) >> 2 * k & 0x03030303u) << 4;
      }
      In::put(to + 16 * W + g * In::GROUP_BYTES, r, q);
    }
  }
  static void row(const uint8_t* tile, int r, int cols, float* out) {
    const uint16_t* scales = halves(tile + static_cast<size_t>(cols / SUPER) * SUPER_BYTES);
    for (int b = 0; b < cols / SUPER; b++, tile += SUPER_BYTES) {
      for (int c = 0; c < SUPER; c++) {
        const float s = half_to_float(scales[b * W + r]) * bytes(tile)[c / 16 * W + r];
        out[b * SUPER + c] = s * (In::number(tile + 16 * W + c / GROUP * In::GROUP_BYTES, r, c % GROUP) - 32);
      }
    }
  }
  template <int N>
  static void product(const uint8_t* tile, int cols, const Rows& a, float* out) {
    const uint16_t* scales = halves(tile + static_cast<size_t>(cols / SUPER) * SUPER_BYTES);
    F all[N];
    UNROLL for (int n = 0; n < N; n++) all[n] = zero();
    for (int b = 0; b < cols / SUPER; b++, tile += SUPER_BYTES) {
      const F scale = load_half(scales + b * W);
      for (int g = 0; g < 8; g++) {
        ask_ahead(tile + g * SUPER_BYTES / 8, SUPER_BYTES / 8);
        const int at = b * 8 + g;
        I first[N], second[N];
        In::dots<N, true>(tile + 16 * W + g * In::GROUP_BYTES, a, at, first, second);
        const F s = mul(scale, load_bytes(bytes(tile) + 2 * g * W)), t = mul(scale, load_bytes(bytes(tile) + (2 * g + 1) * W));
        UNROLL for (int n = 0; n < N; n++) {
          const int32_t* sums = a.sum16 + 2 * (n * a.g_stride + at);
          const F x = mul(to_float(plus(first[n], -32 * sums[0])), s);
          const F y = fma(to_float(plus(second[n], -32 * sums[1])), t, x);
          all[n] = fma(y, broadcast(a.scale[n * a.g_stride + at]), all[n]);
        }
      }
    }
    UNROLL for (int n = 0; n < N; n++) store(out + n * W, all[n]);
  }
};
