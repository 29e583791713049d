// What a model consists of, the same for every instruction set.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "pool.h"

#define INLINE static inline __attribute__((always_inline))

// Numbers that Python knows too: library.py.
enum Kind { F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q4_K, Q5_K, Q6_K, KINDS };
enum Part { QUERY, KEY, VALUE, OUTPUT, GATE, UP, DOWN, LAYER_PARTS, EMBEDDING = LAYER_PARTS, UNEMBEDDING, PARTS };
enum NormPart {
  ATTENTION_NORM, QUERY_NORM, KEY_NORM, ATTENTION_OUTPUT_NORM, FEEDFORWARD_NORM, FEEDFORWARD_OUTPUT_NORM,
  LAYER_NORMS, EMBEDDING_NORM = LAYER_NORMS, FINAL_NORM, NORMS
};
enum Activation { SILU, GELU, GELU_TANH, RELU, RELU2 };
enum CacheKind { CACHE_F16, CACHE_F32, CACHE_INT8 };

constexpr int BLOCK = 32;  // tokens of a cache block, and keys of one step of the softmax
constexpr int GROUP = 32;  // activations that share a scale
constexpr int LANES = 16;  // every row of floats is padded to this many, the widest vector there is

inline int padded(int n, int to = LANES) { return (n + to - 1) / to * to; }

// A weight in tiles: as many rows as a vector has lanes lie interleaved in each.
struct Matrix {
  int kind = -1, rows = 0, cols = 0, tiles = 0;
  size_t tile_bytes = 0;
  uint8_t* data = nullptr;
  const float* bias = nullptr;
  explicit operator bool() const { return data != nullptr; }
};

struct Norm {
  const float* weight = nullptr;
  const float* bias = nullptr;
  bool there = false;
};

struct Layer {
  Matrix parts[LAYER_PARTS];
  Norm norms[LAYER_NORMS];
  int window = 0;  // 0: sees everything
  int rotary = 0;  // which table of angles
};

// What an adapter adds to a product: W x + B (A x), its scale inside B; with DoRA the sum times a factor a row.
struct LowRank {
  Matrix a, b;                    // [rank, columns] and [rows, rank]
  const float* factor = nullptr;  // [padded rows], or null
  explicit operator bool() const { return static_cast<bool>(a); }
};

struct Adapter {
  std::vector<LowRank> parts;  // of all layers, LAYER_PARTS each
  LowRank& of(int layer, int part) { return parts[layer * LAYER_PARTS + part]; }
  const LowRank& of(int layer, int part) const { return parts[layer * LAYER_PARTS + part]; }
};

struct Settings {
  int32_t vocab, context, width, layers, heads, kv_heads, head_width, ffn_width;
  int32_t layer_norm, parallel, shared_norm, joint_norms, activation, rotary_width, cache, float_activations;
  float norm_eps, attention_scale, attention_cap, logit_cap, embedding_multiplier, residual_multiplier, logit_multiplier;
};

// Rows of activations as products read them: floats, and integers with a scale for each group.
struct Rows {
  float* x = nullptr;
  int8_t* q = nullptr;
  float* scale = nullptr;  // of a group
  int32_t* sum = nullptr;  // of a group's integers
  int32_t* sum16 = nullptr;  // of each half of a group
  float* whole = nullptr;    // a group's sum times its scale
  size_t x_stride = 0, q_stride = 0, g_stride = 0;
  Rows from(int row) const {
    return {x + row * x_stride, q + row * q_stride, scale + row * g_stride, sum + row * g_stride,
            sum16 + 2 * row * g_stride, whole + row * g_stride, x_stride, q_stride, g_stride};
  }
};

// Memory for Rows, zeroed.
struct RowStore {
  std::vector<float> x, scale, whole;
  std::vector<int8_t> q;
  std::vector<int32_t> sum, sum16;
  Rows rows;
  void make(int count, int width) {
    const int groups = (width + GROUP - 1) / GROUP;
    // Strides are never a multiple of 4096 bytes: a product's rows would all want the same few lines of the cache.
    const size_t x_stride = padded(width, GROUP) + LANES, q_stride = static_cast<size_t>(groups) * GROUP + 64;
    x.assign(count * x_stride, 0.0f);
    q.assign(count * q_stride, 0);
    scale.assign(static_cast<size_t>(count) * groups, 0.0f);
    sum.assign(static_cast<size_t>(count) * groups, 0);
    sum16.assign(static_cast<size_t>(count) * groups * 2, 0);
    whole.assign(static_cast<size_t>(count) * groups, 0.0f);
    rows = {x.data(), q.data(), scale.data(), sum.data(), sum16.data(), whole.data(), x_stride, q_stride,
            static_cast<size_t>(groups)};
  }
};

enum RowUse { ATTENTION_IN, FEEDFORWARD_IN, ATTENDED, HIDDEN, FINAL, ROW_USES };
constexpr int TOGETHER = 3;  // most matrices that one phase multiplies the same rows with
constexpr int ALONE = 2;  // up to so many rows every thread prepares for itself, instead of waiting for the others

struct Worker {
  RowStore own[ROW_USES];
  std::vector<float> tile;   // one unpacked tile
  std::vector<float> lowered;  // A x as in Model, of ALONE rows
  std::vector<float> query;  // [QUERIES, head width], scaled
  std::vector<float> value;  // [QUERIES, padded head width], the attention's sums
};

// Consecutive rows of one sequence.
struct Segment {
  int first, count;
};

// Consecutive rows with the same adapter.
struct Adapted {
  int first, count;
  const Adapter* adapter;
};

// Up to `Model::chunk` rows that go through all layers together.
struct Chunk {
  int rows = 0;
  std::vector<int32_t> ids, positions;
  std::vector<const int32_t*> blocks;  // of each row's sequence
  std::vector<Segment> segments;
  std::vector<Adapted> adapted;  // rows without an adapter are in none of them
  std::vector<int> wanted;  // rows
  float* out = nullptr;     // [wanted, vocab or width]
  bool logits = true;
  bool single = true;  // whether every segment is one row

  void adapt(int first, int count, const Adapter* adapter) {
    if (!adapted.empty() && adapted.back().adapter == adapter && adapted.back().first + adapted.back().count == first) {
      adapted.back().count += count;
    } else {
      adapted.push_back({first, count, adapter});
    }
  }
};

struct Model {
  Settings s{};
  std::vector<Layer> layers;
  Matrix outer[PARTS];
  Norm outer_norms[NORMS];
  const float* position_table = nullptr;  // [context, padded width]
  std::vector<float> frequencies[2];
  float amplitude[2] = {1.0f, 1.0f};
  std::vector<float> slopes;  // ALiBi, one a head; empty without

  std::vector<std::unique_ptr<Adapter>> adapters;
  int widest_rank = 0;         // padded
  std::vector<float> lowered;  // A x of the matrices of a phase: [TOGETHER, chunk, widest_rank]

  // The cache: blocks[b] holds, for each layer and key-value head, keys [head width, BLOCK] and values
  // [BLOCK, value_width], then with integers a scale for each key and each value.
  std::vector<uint8_t*> blocks;
  size_t head_bytes = 0, block_bytes = 0;
  int value_width = 0;

  int chunk = 256;
  int inner = 0, shared = 0;                 // heads and key-value heads times head width
  int qkv_stride = 0, key_at = 0, value_at = 0;  // where a row's queries, keys and values stand
  std::vector<float> x, added, qkv, attended, hidden_rows, cosines[2], sines[2];
  RowStore rows[ROW_USES];
  std::vector<Worker> workers;
  std::vector<std::atomic<int>> next;  // attention's next piece, one counter a layer
  Pool* pool = nullptr;

  float* attention_of(int row) { return attended.data() + static_cast<size_t>(row) * padded(inner); }
  size_t hidden_stride() const { return padded(s.ffn_width); }
  float* hidden(int row) { return hidden_rows.data() + row * hidden_stride(); }
  int width_of(int use) const { return use == ATTENDED ? inner : use == HIDDEN ? s.ffn_width : s.width; }
};

// One instruction set's functions.
struct Kernels {
  const char* name;
  int lanes, queries;
  int value_lanes;  // the head width of values is padded to a multiple of this
  size_t (*tile_bytes)(int kind, int cols);
  void (*pack)(int kind, const uint8_t* rows, size_t stride, int count, int cols, uint8_t* tile);
  void (*row)(int kind, const uint8_t* tile, int r, int cols, float* out);
  void (*multiply)(const Matrix& matrix, const float* x, int count, bool exact, float* out);
  void (*step)(Model& model, Chunk& chunk, int thread);
};

// Conversions of single numbers, for what is not worth a vector.
inline float bits_to_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
inline float brain_to_float(uint16_t b) { return bits_to_float(static_cast<uint32_t>(b) << 16); }
inline float half_to_float(uint16_t h) {
  const uint32_t sign = (h & 0x8000u) << 16, exponent = (h >> 10) & 31, fraction = h & 1023u;
  if (exponent == 31) return bits_to_float(sign | 0x7f800000u | fraction << 13);
  if (exponent) return bits_to_float(sign | (exponent + 112) << 23 | fraction << 13);
  const float small = static_cast<float>(fraction) * 5.9604644775390625e-8f;
  return sign ? -small : small;
}
inline uint16_t float_to_half(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return sign | 0x7e00;
  if (bits >= 0x477ff000u) return sign | 0x7c00;
  if (bits < 0x38800000u) {
    // Adding one half leaves the rounded fraction of a number below the smallest normal one in the last bits.
    float y = bits_to_float(bits) + 0.5f;
    uint32_t sum;
    memcpy(&sum, &y, 4);
    return static_cast<uint16_t>(sign | (sum - 0x3f000000u));
  }
  bits += 0xfffu + (bits >> 13 & 1u);
  return static_cast<uint16_t>(sign | (bits - 0x38000000u) >> 13);
}
