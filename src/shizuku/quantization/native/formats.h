// The packed formats. Included once for each instruction set, inside its namespace.
//
// A format is a struct with
//   BITS                     whether its products take integer activations (else floats)
//   tile_bytes(cols)         bytes of a tile of W rows
//   pack(rows, stride, n, cols, tile)   n <= W rows as a file has them into one tile; missing rows become zeros
//   row(tile, r, cols, out)  one row as floats: what the embedding, and products with float activations, read
//   product<N>(tile, cols, rows, out)   out[n * W + lane] for N rows of activations
// and a line in `formats()` at the end. A lane is an output row, and its sum runs over the groups in their order
// whatever N is: that is what makes a row's result independent of its company, so keep it. Sums of
// integers are exact, their order is free. In a tile the integers come first, then the scales.

constexpr int MOST_ROWS = PANEL > FLOAT_PANEL ? PANEL : FLOAT_PANEL;

struct Floats {
  static constexpr bool BITS = false;
};

template <class Load, int SIZE>
struct Plain : Floats {
  static size_t tile_bytes(int cols) { return static_cast<size_t>(cols) * W * SIZE; }
  static void pack(const uint8_t* rows, size_t stride, int count, int cols, uint8_t* tile) {
    for (int c = 0; c < cols; c++) {
      for (int r = 0; r < W; r++, tile += SIZE) {
        if (r < count) {
          __builtin_memcpy(tile, rows + r * stride + c * SIZE, SIZE);
        } else {
          __builtin_memset(tile, 0, SIZE);
        }
      }
    }
  }
  static void row(const uint8_t* tile, int r, int cols, float* out) {
    alignas(64) float column[W];
    for (int c = 0; c < cols; c++) {
      store(column, Load::load(tile + static_cast<size_t>(c) * W * SIZE));
      out[c] = column[r];
    }
  }
  // Four sums, each over a quarter of the columns: side by side where one row leaves the processor waiting for
  // its last addition, one after the other where many rows fill it.
  template <int N>
  static void product(const uint8_t* tile, int cols, const Rows& a, float* out) {
    const int quarter = (cols + 3) / 4;
    if (N == 1) {
      F part[4] = {zero(), zero(), zero(), zero()};
      const int whole = cols - 3 * quarter;  // every quarter has at least so many
      int c = 0;
      for (; c < whole; c++) {
        UNROLL for (int i = 0; i < 4; i++) {
          const size_t at = static_cast<size_t>(c) + i * quarter;
          __builtin_prefetch(tile + (at + cols) * W * SIZE);  // the next tile
          part[i] = fma(Load::load(tile + at * W * SIZE), broadcast(a.x[at]), part[i]);
        }
      }
      for (; c < quarter; c++) {
        UNROLL for (int i = 0; i < 3; i++) {
          const size_t at = static_cast<size_t>(c) + i * quarter;
          if (at >= static_cast<size_t>(cols)) break;
          part[i] = fma(Load::load(tile + at * W * SIZE), broadcast(a.x[at]), part[i]);
        }
      }
      store(out, add(add(add(part[0], part[1]), part[2]), part[3]));
      return;
    }
    F all[N];
    for (int i = 0; i < 4; i++) {
      F part[N];
      UNROLL for (int n = 0; n < N; n++) part[n] = zero();
      const int end = (i + 1) * quarter < cols ? (i + 1) * quarter : cols;
      for (int c = i * quarter; c < end; c++) {
        const F w = Load::load(tile + static_cast<size_t>(c) * W * SIZE);
        UNROLL for (int n = 0; n < N; n++) part[n] = fma(w, broadcast(a.x[n * a.x_stride + c]), part[n]);
      }
      UNROLL for (int n = 0; n < N; n++) all[n] = i ? add(all[n], part[n]) : part[n];
    }
    UNROLL for (int n = 0; n < N; n++) store(out + n * W, all[n]);
  }
};

struct LoadFloat {
  INLINE F load(const uint8_t* p) { return ::SHIZUKU_SET::load(reinterpret_cast<const float*>(p)); }
};
struct LoadHalf {
  INLINE F load(const uint8_t* p) { return load_half(reinterpret_cast<const uint16_t*>(p)); }
};
struct LoadBrain {
  INLINE F load(const uint8_t* p) { return load_brain(reinterpret_cast<const uint16_t*>(p)); }
};
using FormatF32 = Plain<LoadFloat, 4>;
using FormatF16 = Plain<LoadHalf, 2>;
using FormatBF16 = Plain<LoadBrain, 2>;

// Scales and minima of a tile lie after its integers: [groups, W] halves each.
INLINE const uint16_t* halves(const uint8_t* tile, int cols, int bits) {
  return reinterpret_cast<const uint16_t*>(tile + static_cast<size_t>(cols) * W * bits / 8);
}
INLINE void copy_half(uint8_t* tile, int cols, int bits, int at, const uint8_t* from) {
  uint8_t* to = tile + static_cast<size_t>(cols) * W * bits / 8 + static_cast<size_t>(at) * 2;
  if (from) {
    __builtin_memcpy(to, from, 2);
  } else {
    __builtin_memset(to, 0, 2);
  }
}

// Asks for what stands AHEAD bytes further on, usually in a later tile: the processor's own guesses stop at each
// jump from integers to scales, and decoding is nothing but reading. Past the last tile it does nothing.
constexpr int AHEAD = 8192;
INLINE void ask_ahead(const uint8_t* at, int bytes) {
  for (int i = 0; i < bytes; i += 64) __builtin_prefetch(at + AHEAD + i);
}

struct FormatQ8_0 {
  static constexpr bool BITS = true;
  static constexpr int BLOCK_BYTES = 34;
  static size_t tile_bytes(int cols) { return static_cast<size_t>(cols / GROUP) * W * BLOCK_BYTES; }
  static void pack(const uint8_t* rows, size_t stride, int count, int cols, uint8_t* tile) {
    for (int g = 0; g < cols / GROUP; g++) {
      for (int r = 0; r < W; r++) {
        const uint8_t* block = r < count ? rows + r * stride + g * BLOCK_BYTES : nullptr;
        copy_half(tile, cols, 8, g * W + r, block);
        for (int i = 0; i < GROUP; i++) {
          uint8_t& to = tile[(static_cast<size_t>(g) * GROUP + i / 4 * 4) * W + r * 4 + i % 4];
          to = (block ? block[2 + i] : 0) ^ (OFFSET_BYTES ? 0x80 : 0);
        }
      }
    }
  }
  static void row(const uint8_t* tile, int r, int cols, float* out) {
    const uint16_t* scales = halves(tile, cols, 8);
    for (int g = 0; g < cols / GROUP; g++) {
      const float scale = half_to_float(scales[g * W + r]);
      for (int i = 0; i < GROUP; i++) {
        const uint8_t q = tile[(static_cast<size_t>(g) * GROUP + i / 4 * 4) * W + r * 4 + i % 4];
        out[g * GROUP + i] = scale * static_cast<int8_t>(q ^ (OFFSET_BYTES ? 0x80 : 0));
      }
    }
  }
  template <int N>
  static void product(const uint8_t* tile, int cols, const Rows& a, float* out) {
    const uint16_t* scales = halves(tile, cols, 8);
    F all[N];
    UNROLL for (int n = 0; n < N; n++) all[n] = zero();
    const uint8_t* begin = tile;
    for (int g = 0; g < cols / GROUP; g++) {
      ask_ahead(begin + g * W * BLOCK_BYTES, W * BLOCK_BYTES);
      Sum8 part[N];
      UNROLL for (int n = 0; n < N; n++) clear(part[n], a.sum[n * a.g_stride + g]);
      UNROLL for (int j = 0; j < 8; j++, tile += 4 * W) {
        const Quads8 w = prepared(load_quads(tile));
        UNROLL for (int n = 0; n < N; n++) ::SHIZUKU_SET::add(part[n], w, a.q + n * a.q_stride + g * GROUP + j * 4);
      }
      const F scale = load_half(scales + g * W);
      UNROLL for (int n = 0; n < N; n++) {
        all[n] = fma(to_float(total(part[n])), mul(scale, broadcast(a.scale[n * a.g_stride + g])), all[n]);
      }
    }
    UNROLL for (int n = 0; n < N; n++) store(out + n * W, all[n]);
  }
};

// Q4_0: scale (q - 8). Q4_1: scale q + minimum. A byte of a block holds elements i and i + 16.
template <bool MINIMUM>
struct Nibbles {
  static constexpr bool BITS = true;
  static constexpr int HEAD = MINIMUM ? 4 : 2, BLOCK_BYTES = HEAD + 16;
  static size_t tile_bytes(int cols) { return static_cast<size_t>(cols / GROUP) * W * BLOCK_BYTES; }
  static void pack(const uint8_t* rows, size_t stride, int count, int cols, uint8_t* tile) {
    const int groups = cols / GROUP;
    for (int g = 0; g < groups; g++) {
      for (int r = 0; r < W; r++) {
        const uint8_t* block = r < count ? rows + r * stride + g * BLOCK_BYTES : nullptr;
        copy_half(tile, cols, 4, g * W + r, block);
        if (MINIMUM) copy_half(tile, cols, 4, (groups + g) * W + r, block ? block + 2 : nullptr);
        for (int i = 0; i < 16; i++) {
          tile[(static_cast<size_t>(g) * 16 + i / 4 * 4) * W + r * 4 + i % 4] = block ? block[HEAD + i] : 0;
        }
      }
    }
  }
  static void row(const uint8_t* tile, int r, int cols, float* out) {
    const int groups = cols / GROUP;
    const uint16_t* scales = halves(tile, cols, 4);
    for (int g = 0; g < groups; g++) {
      const float scale = half_to_float(scales[g * W + r]);
      const float least = MINIMUM ? half_to_float(scales[(groups + g) * W + r]) : -8 * scale;
      for (int i = 0; i < 16; i++) {
        const uint8_t q = tile[(static_cast<size_t>(g) * 16 + i / 4 * 4) * W + r * 4 + i % 4];
        out[g * GROUP + i] = scale * (q & 15) + least;
        out[g * GROUP + i + 16] = scale * (q >> 4) + least;
      }
    }
  }
  template <int N>
  static void product(const uint8_t* tile, int cols, const Rows& a, float* out) {
    const int groups = cols / GROUP;
    const uint16_t* scales = halves(tile, cols, 4);
    F all[N];
    UNROLL for (int n = 0; n < N; n++) all[n] = zero();
    const uint8_t* begin = tile;
    for (int g = 0; g < groups; g++) {
      ask_ahead(begin + g * W * BLOCK_BYTES, W * BLOCK_BYTES);
      Sum4 part[N];
      UNROLL for (int n = 0; n < N; n++) clear(part[n]);
      UNROLL for (int j = 0; j < 4; j++, tile += 4 * W) {
        const Quads both = load_quads(tile);
        const Quads low = low_nibbles(both), high = high_nibbles(both);
        UNROLL for (int n = 0; n < N; n++) {
          const int8_t* at = a.q + n * a.q_stride + g * GROUP + j * 4;
          ::SHIZUKU_SET::add(part[n], low, at);
          ::SHIZUKU_SET::add(part[n], high, at + 16);
        }
      }
      const F scale = load_half(scales + g * W);
      if (MINIMUM) {
        const F least = load_half(scales + (groups + g) * W);
        UNROLL for (int n = 0; n < N; n++) {
          const float step = a.scale[n * a.g_stride + g];
          const float whole = step * static_cast<float>(a.sum[n * a.g_stride + g]);
          all[n] = fma(to_float(total(part[n])), mul(scale, broadcast(step)), all[n]);
          all[n] = fma(least, broadcast(whole), all[n]);
        }
      } else {
        UNROLL for (int n = 0; n < N; n++) {
          const I centred = plus(total(part[n]), -8 * a.sum[n * a.g_stride + g]);
          all[n] = fma(to_float(centred), mul(scale, broadcast(a.scale[n * a.g_stride + g])), all[n]);
        }
      }
    }
    UNROLL for (int n = 0; n < N; n++) store(out + n * W, all[n]);
  }
};
using FormatQ4_0 = Nibbles<false>;
using FormatQ4_1 = Nibbles<true>;

#include "formats_k.h"

// Any number of rows up to the format's, in pieces that were compiled for their number.
template <class Format>
static void panel(const uint8_t* tile, int cols, const Rows& a, int count, float* out) {
  constexpr int MOST = Format::BITS ? PANEL : FLOAT_PANEL;
  int n = 0;
  if (count == MOST) return Format::template product<MOST>(tile, cols, a, out);
  if constexpr (MOST > 8) {
    if (count - n >= 8) Format::template product<8>(tile, cols, a.from(n), out + n * W), n += 8;
  }
  if constexpr (MOST > 4) {
    if (count - n >= 4) Format::template product<4>(tile, cols, a.from(n), out + n * W), n += 4;
  }
  if constexpr (MOST > 2) {
    if (count - n >= 2) Format::template product<2>(tile, cols, a.from(n), out + n * W), n += 2;
  }
  if (count - n >= 1) Format::template product<1>(tile, cols, a.from(n), out + n * W);
}

struct FormatTable {
  bool bits;
  int rows;  // that a panel has at most
  size_t (*tile_bytes)(int cols);
  void (*pack)(const uint8_t* rows, size_t stride, int count, int cols, uint8_t* tile);
  void (*row)(const uint8_t* tile, int r, int cols, float* out);
  void (*panel)(const uint8_t* tile, int cols, const Rows& a, int count, float* out);
};
template <class Format>
constexpr FormatTable table_of() {
  return {Format::BITS, Format::BITS ? PANEL : FLOAT_PANEL, Format::tile_bytes, Format::pack, Format::row, panel<Format>};
}
static const FormatTable FORMATS[KINDS] = {
    table_of<FormatF32>(), table_of<FormatF16>(), table_of<FormatBF16>(),
    table_of<FormatQ8_0>(), table_of<FormatQ4_0>(), table_of<FormatQ4_1>(),
    table_of<FormatQ5_0>(), table_of<FormatQ4_K>(), table_of<FormatQ5_K>(), table_of<FormatQ6_K>(),
};

static size_t tile_bytes(int kind, int cols) { return (FORMATS[kind].tile_bytes(cols) + 63) / 64 * 64; }
static void pack(int kind, const uint8_t* rows, size_t stride, int count, int cols, uint8_t* tile) {
  FORMATS[kind].pack(rows, stride, count, cols, tile);
}
static void row(int kind, const uint8_t* tile, int r, int cols, float* out) { FORMATS[kind].row(tile, r, cols, out); }
// A tile as one of FormatF32.
static void unpack(int kind, const uint8_t* tile, int cols, float* scratch, float* out) {
  for (int r = 0; r < W; r++) {
    FORMATS[kind].row(tile, r, cols, scratch);
    for (int c = 0; c < cols; c++) out[static_cast<size_t>(c) * W + r] = scratch[c];
  }
}
