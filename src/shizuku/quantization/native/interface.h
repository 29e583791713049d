// The C interface. Every function that can fail returns a message, or null when all went well; the text is
// valid until the next call of the same thread.
#pragma once

#ifndef SHIZUKU_SOURCES
#define SHIZUKU_SOURCES ""
#endif

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {

thread_local std::string message;

template <class Body>
const char* guarded(Body body) {
  try {
    body();
    return nullptr;
  } catch (const std::bad_alloc&) {
    message = "memory: there is not enough of it";
  } catch (const std::exception& error) {
    message = error.what();
  }
  return message.c_str();
}

#if defined(__x86_64__)
// The compilers' own question knows the name only in newer versions.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return false;
  return a >> 4 & 1;
}
#endif

#if defined(__aarch64__)
bool has_dot_products() {
#if defined(__linux__)
  return getauxval(AT_HWCAP) >> 20 & 1;  // ASIMDDP
#elif defined(__APPLE__)
  int found = 0;
  size_t size = sizeof found;
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &found, &size, nullptr, 0) == 0 && found;
#else
  return false;
#endif
}
#endif

// The best first.
std::vector<const Kernels*> available() {
  std::vector<const Kernels*> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni")) {
    found.push_back(&avx512::KERNELS);
  }
  if (avx2 && has_avx_vnni()) found.push_back(&avxvnni::KERNELS);
  if (avx2) found.push_back(&avx2::KERNELS);
#elif defined(__aarch64__)
  if (has_dot_products()) found.push_back(&neon_dot::KERNELS);
  found.push_back(&neon::KERNELS);
#endif
  found.push_back(&portable::KERNELS);
  return found;
}

// Zeroed memory in large pages where the system has them: tiles are read through from end to end.
class Arena {
 public:
  explicit Arena(size_t bytes) : bytes_((bytes + PAGE - 1) / PAGE * PAGE) {
#if defined(__linux__)
    raw_bytes_ = bytes_ + PAGE;
    raw_ = mmap(nullptr, raw_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw_ == MAP_FAILED) throw std::bad_alloc();
    const uintptr_t at = (reinterpret_cast<uintptr_t>(raw_) + PAGE - 1) / PAGE * PAGE;
    begin_ = reinterpret_cast<uint8_t*>(at);
    madvise(begin_, bytes_, MADV_HUGEPAGE);
#else
    raw_bytes_ = bytes_ + 64;
    raw_ = calloc(raw_bytes_, 1);
    if (!raw_) throw std::bad_alloc();
    begin_ = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(raw_) + 63) / 64 * 64);
#endif
  }
  ~Arena() {
#if defined(__linux__)
    munmap(raw_, raw_bytes_);
#else
    free(raw_);
#endif
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  uint8_t* take(size_t bytes) {
    const size_t rounded = (bytes + 63) / 64 * 64;
    if (rounded > bytes_ - used_) throw std::bad_alloc();
    uint8_t* at = begin_ + used_;
    used_ += rounded;
    return at;
  }

 private:
  static constexpr size_t PAGE = size_t{1} << 21;
  size_t bytes_, raw_bytes_ = 0, used_ = 0;
  void* raw_ = nullptr;
  uint8_t* begin_ = nullptr;
};

}  // namespace

struct ShizukuModel {
  Model model;
  const Kernels* kernels = nullptr;
  std::unique_ptr<Pool> pool;
  std::vector<std::unique_ptr<Arena>> arenas;
  std::vector<std::unique_ptr<float[]>> floats;
  Arena* weights = nullptr;
  Arena* adapter_weights = nullptr;  // of the newest
  Chunk chunk;
  std::mutex busy;

  const float* keep(const float* from, size_t count, size_t room) {
    floats.emplace_back(new float[room]());
    memcpy(floats.back().get(), from, count * sizeof(float));
    return floats.back().get();
  }
  // A matrix from rows as a file has them, `stride` bytes apart; small ones are not worth `all` threads.
  void fill(Matrix& matrix, Arena& into, int kind, int rows, int cols, const uint8_t* data, uint64_t stride, bool all) {
    const int lanes = kernels->lanes;
    matrix.kind = kind;
    matrix.rows = rows;
    matrix.cols = cols;
    matrix.tiles = (rows + lanes - 1) / lanes;
    matrix.tile_bytes = kernels->tile_bytes(kind, cols);
    matrix.data = into.take(matrix.tile_bytes * matrix.tiles);
    const auto share = [&](int thread, int threads) {
      for (int t = thread; t < matrix.tiles; t += threads) {
        const int count = rows - t * lanes < lanes ? rows - t * lanes : lanes;
        kernels->pack(kind, data + static_cast<uint64_t>(t) * lanes * stride, stride, count, cols,
                      matrix.data + t * matrix.tile_bytes);
      }
    };
    if (all) {
      pool->run([&](int thread) { share(thread, pool->size()); });
    } else {
      share(0, 1);
    }
  }
  void read_row(const Matrix& matrix, int row, float* out) const {
    const int lanes = kernels->lanes;
    kernels->row(matrix.kind, matrix.data + row / lanes * matrix.tile_bytes, row % lanes, matrix.cols, out);
  }
  // DoRA (Liu et al. 2024): what brings each row of W + B A to its trained length.
  const float* factors(const Matrix& base, const LowRank& low, const float* lengths) {
    const int cols = base.cols, rank = low.a.rows;
    std::vector<float> a(static_cast<size_t>(rank) * cols), found(base.rows);
    for (int r = 0; r < rank; r++) read_row(low.a, r, a.data() + static_cast<size_t>(r) * cols);
    pool->run([&](int thread) {
      std::vector<float> weight(cols), b(rank);
      for (int row = thread; row < base.rows; row += pool->size()) {
        read_row(base, row, weight.data());
        read_row(low.b, row, b.data());
        for (int r = 0; r < rank; r++) {
          const float* from = a.data() + static_cast<size_t>(r) * cols;
          for (int c = 0; c < cols; c++) weight[c] += b[r] * from[c];
        }
        double squares = 0.0;
        for (int c = 0; c < cols; c++) squares += static_cast<double>(weight[c]) * weight[c];
        found[row] = squares > 0.0 ? static_cast<float>(lengths[row] / std::sqrt(squares)) : 0.0f;
      }
    });
    return keep(found.data(), found.size(), padded(base.rows));
  }
  Matrix& matrix(int layer, int part) { return layer < 0 ? model.outer[part] : model.layers[layer].parts[part]; }

  void lay_out() {
    Model& m = model;
    const Settings& s = m.s;
    m.inner = s.heads * s.head_width;
    m.shared = s.kv_heads * s.head_width;
    m.key_at = padded(m.inner);
    m.value_at = m.key_at + padded(m.shared);
    m.qkv_stride = m.value_at + padded(m.shared);
    m.layers.resize(s.layers);
    m.value_width = padded(s.head_width, kernels->value_lanes);
    const size_t element = s.cache == CACHE_F32 ? 4 : s.cache == CACHE_F16 ? 2 : 1;
    const size_t scales = s.cache == CACHE_INT8 ? 2 * BLOCK * sizeof(float) : 0;
    m.head_bytes = (element * BLOCK * (s.head_width + m.value_width) + scales + 63) / 64 * 64;
    m.block_bytes = m.head_bytes * s.layers * s.kv_heads;
    const size_t rows = m.chunk, width = padded(s.width, GROUP);
    m.x.assign(rows * width, 0.0f);
    m.added.assign(rows * width, 0.0f);
    m.qkv.assign(rows * m.qkv_stride, 0.0f);
    m.attended.assign(rows * padded(m.inner), 0.0f);
    m.hidden_rows.assign(rows * m.hidden_stride(), 0.0f);
    for (int t = 0; t < 2; t++) {
      m.cosines[t].assign(rows * s.rotary_width / 2, 0.0f);
      m.sines[t].assign(rows * s.rotary_width / 2, 0.0f);
    }
    for (int use = 0; use < ROW_USES; use++) m.rows[use].make(m.chunk, m.width_of(use));
    m.next = std::vector<std::atomic<int>>(s.layers);
    m.workers.resize(pool->size());
    const size_t widest = std::max({s.width, s.ffn_width, m.inner});
    for (Worker& worker : m.workers) {
      for (int use = 0; use < ROW_USES; use++) worker.own[use].make(ALONE, m.width_of(use));
      if (s.float_activations) worker.tile.assign(2 * padded(static_cast<int>(widest)) * (kernels->lanes + 1), 0.0f);
      worker.query.assign(static_cast<size_t>(kernels->queries) * s.head_width, 0.0f);
      worker.value.assign(static_cast<size_t>(kernels->queries) * m.value_width, 0.0f);
    }
    m.pool = pool.get();
  }

  void run() {
    if (chunk.rows == 0) return;
    for (std::atomic<int>& counter : model.next) counter.store(0, std::memory_order_relaxed);
    pool->run([this](int thread) { kernels->step(model, chunk, thread); });
    chunk.out += chunk.wanted.size() * static_cast<size_t>(chunk.logits ? model.s.vocab : model.s.width);
    chunk.rows = 0;
    chunk.single = true;
    chunk.segments.clear();
    chunk.adapted.clear();
    chunk.wanted.clear();
  }
};

// Which sources the library was made of.
EXPORT const char* shizuku_sources() { return SHIZUKU_SOURCES; }

// The instruction sets that this processor has, best first, separated by spaces.
EXPORT const char* shizuku_instruction_sets() {
  static const std::string names = [] {
    std::string all;
    for (const Kernels* kernels : available()) all += (all.empty() ? "" : " ") + std::string(kernels->name);
    return all;
  }();
  return names.c_str();
}

// Bytes that a matrix takes once it is in tiles.
EXPORT uint64_t shizuku_matrix_bytes(const char* set, int kind, int rows, int cols) {
  for (const Kernels* kernels : available()) {
    if (std::string(kernels->name) == set) {
      return kernels->tile_bytes(kind, cols) * static_cast<uint64_t>((rows + kernels->lanes - 1) / kernels->lanes);
    }
  }
  return 0;
}

EXPORT const char* shizuku_create(const Settings* settings, const char* set, int threads, uint64_t weight_bytes,
                                  ShizukuModel** made) {
  return guarded([&] {
    std::unique_ptr<ShizukuModel> model(new ShizukuModel);
    for (const Kernels* kernels : available()) {
      if (std::string(kernels->name) == set) model->kernels = kernels;
    }
    if (!model->kernels) throw std::runtime_error("no such instruction set here");
    model->model.s = *settings;
    model->pool.reset(new Pool(threads));
    model->arenas.emplace_back(new Arena(weight_bytes + 64));
    model->weights = model->arenas.back().get();
    model->lay_out();
    *made = model.release();
  });
}

EXPORT void shizuku_free(ShizukuModel* model) { delete model; }

// Bytes a second that `threads` threads read together from memory, the best of some passes over `bytes`.
EXPORT const char* shizuku_bandwidth(int threads, uint64_t bytes, double* found) {
  return guarded([&] {
    Pool pool(threads);
    const uint64_t share = bytes / threads / 64 * 64;
    Arena arena(share * threads + 64);
    uint8_t* begin = arena.take(share * threads);
    std::vector<uint64_t> sums(threads * 8);
    pool.run([&](int thread) { memset(begin + thread * share, 1, share); });
    double best = 1e30;
    for (int pass = 0; pass < 8; pass++) {
      const auto start = std::chrono::steady_clock::now();
      pool.run([&](int thread) {
        // One word of each line: the whole line comes from memory, and adding costs nothing beside it.
        const uint64_t* at = reinterpret_cast<const uint64_t*>(begin + thread * share);
        uint64_t sum = 0;
        for (uint64_t i = 0; i < share / 8; i += 8) {
          __builtin_prefetch(at + i + 1024);
          sum += at[i];
        }
        sums[thread * 8] += sum;
      });
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    volatile uint64_t kept = sums[0];
    (void)kept;
    *found = static_cast<double>(share * threads) / best;
  });
}

// Takes a matrix: `rows` as a file has them, `stride` bytes apart. layer -1 is outside the layers.
EXPORT const char* shizuku_matrix(ShizukuModel* model, int layer, int part, int kind, int rows, int cols,
                                  const uint8_t* data, uint64_t stride) {
  return guarded([&] {
    model->fill(model->matrix(layer, part), *model->weights, kind, rows, cols, data, stride, true);
  });
}

// Makes room for an adapter of `bytes` in tiles, whose ranks are at most `rank`, and says its number.
EXPORT const char* shizuku_adapter(ShizukuModel* model, int rank, uint64_t bytes, int* number) {
  return guarded([&] {
    std::lock_guard<std::mutex> hold(model->busy);
    Model& m = model->model;
    model->arenas.emplace_back(new Arena(bytes + 64));
    model->adapter_weights = model->arenas.back().get();
    const int widest = std::max(m.widest_rank, padded(rank));
    m.lowered.assign(static_cast<size_t>(TOGETHER) * m.chunk * widest, 0.0f);
    for (Worker& worker : m.workers) worker.lowered.assign(static_cast<size_t>(TOGETHER) * ALONE * widest, 0.0f);
    m.widest_rank = widest;
    m.adapters.emplace_back(new Adapter);
    m.adapters.back()->parts.resize(m.layers.size() * LAYER_PARTS);
    *number = static_cast<int>(m.adapters.size()) - 1;
  });
}

// Takes what the newest adapter adds to one matrix: A [rank, columns] and B [rows, rank], the scale inside B, rows
// without gaps. `lengths` [rows] is DoRA's, or null; it comes after the matrix of the base.
EXPORT const char* shizuku_low_rank(ShizukuModel* model, int layer, int part, int kind, int rank, const uint8_t* a,
                                    const uint8_t* b, const float* lengths) {
  return guarded([&] {
    std::lock_guard<std::mutex> hold(model->busy);
    const Matrix& base = model->matrix(layer, part);
    LowRank& low = model->model.adapters.back()->of(layer, part);
    const uint64_t size = kind == F32 ? 4 : 2;
    model->fill(low.b, *model->adapter_weights, kind, base.rows, rank, b, rank * size, false);
    model->fill(low.a, *model->adapter_weights, kind, rank, base.cols, a, base.cols * size, false);
    if (lengths) low.factor = model->factors(base, low, lengths);
  });
}

EXPORT const char* shizuku_bias(ShizukuModel* model, int layer, int part, const float* data, int count) {
  return guarded([&] { model->matrix(layer, part).bias = model->keep(data, count, padded(count)); });
}

// `bias` may be null. A norm without a weight is there all the same.
EXPORT const char* shizuku_norm(ShizukuModel* model, int layer, int part, const float* weight, const float* bias, int count) {
  return guarded([&] {
    Norm& norm = layer < 0 ? model->model.outer_norms[part] : model->model.layers[layer].norms[part];
    norm.there = true;
    norm.weight = model->keep(weight, count, padded(count));
    norm.bias = bias ? model->keep(bias, count, padded(count)) : nullptr;
  });
}

// What a layer sees (0: everything), and which of the two tables of angles it turns by.
EXPORT void shizuku_layer(ShizukuModel* model, int layer, int window, int rotary) {
  model->model.layers[layer].window = window;
  model->model.layers[layer].rotary = rotary;
}

EXPORT const char* shizuku_rotary(ShizukuModel* model, int table, const float* frequencies, int count, float amplitude) {
  return guarded([&] {
    model->model.frequencies[table].assign(frequencies, frequencies + count);
    model->model.amplitude[table] = amplitude;
  });
}

EXPORT const char* shizuku_slopes(ShizukuModel* model, const float* slopes, int count) {
  return guarded([&] { model->model.slopes.assign(slopes, slopes + count); });
}

EXPORT const char* shizuku_positions(ShizukuModel* model, const float* table, uint64_t count) {
  return guarded([&] { model->model.position_table = model->keep(table, count, count); });
}

EXPORT uint64_t shizuku_block_bytes(const ShizukuModel* model) { return model->model.block_bytes; }
EXPORT int shizuku_block_tokens() { return BLOCK; }

// More cache blocks; those that are there stay where they are.
EXPORT const char* shizuku_reserve(ShizukuModel* model, int blocks) {
  return guarded([&] {
    Model& m = model->model;
    const size_t more = blocks - m.blocks.size();
    if (blocks <= static_cast<int>(m.blocks.size())) return;
    model->arenas.emplace_back(new Arena(more * m.block_bytes + 64));
    for (size_t i = 0; i < more; i++) m.blocks.push_back(model->arenas.back()->take(m.block_bytes));
  });
}

EXPORT void shizuku_copy_block(ShizukuModel* model, int source, int target) {
  Model& m = model->model;
  if (source != target) memcpy(m.blocks[target], m.blocks[source], m.block_bytes);
}

// Runs `spans` spans. Of each: how many ids, its start, where its blocks begin in `blocks`, what is wanted
// (0 none, 1 the last row, 2 all), and its adapter's number (-1: none). Writes logits [wanted, vocab], or vectors [wanted, width], to `out`.
EXPORT const char* shizuku_forward(ShizukuModel* model, int spans, const int32_t* counts, const int32_t* starts,
                                   const int32_t* block_offsets, const int32_t* wanted, const int32_t* adapters,
                                   const int32_t* ids, const int32_t* blocks, int logits, float* out) {
  return guarded([&] {
    Model& m = model->model;
    Chunk& c = model->chunk;
    std::lock_guard<std::mutex> hold(model->busy);
    c.ids.resize(m.chunk);
    c.positions.resize(m.chunk);
    c.blocks.resize(m.chunk);
    c.rows = 0;
    c.single = true;
    c.segments.clear();
    c.adapted.clear();
    c.wanted.clear();
    c.out = out;
    c.logits = logits != 0;
    for (int s = 0; s < spans; ids += counts[s], s++) {
      for (int done = 0; done < counts[s];) {
        if (c.rows == m.chunk) model->run();
        const int take = std::min(counts[s] - done, m.chunk - c.rows);
        c.segments.push_back({c.rows, take});
        c.single = c.single && take == 1;
        if (adapters[s] >= 0) c.adapt(c.rows, take, m.adapters[adapters[s]].get());
        for (int i = 0; i < take; i++, c.rows++) {
          c.ids[c.rows] = ids[done + i];
          c.positions[c.rows] = starts[s] + done + i;
          c.blocks[c.rows] = blocks + block_offsets[s];
          if (wanted[s] == 2 || (wanted[s] == 1 && done + i == counts[s] - 1)) c.wanted.push_back(c.rows);
        }
        done += take;
      }
    }
    model->run();
  });
}

// One product with a packed matrix: x [count, cols] in, out [count, rows]. `exact` keeps the activations floats.
EXPORT const char* shizuku_multiply(const char* set, int kind, int rows, int cols, const uint8_t* data, uint64_t stride,
                                    const float* x, int count, int exact, float* out) {
  return guarded([&] {
    const Kernels* kernels = nullptr;
    for (const Kernels* each : available()) {
      if (std::string(each->name) == set) kernels = each;
    }
    if (!kernels) throw std::runtime_error("no such instruction set here");
    const int lanes = kernels->lanes;
    Matrix matrix;
    matrix.kind = kind, matrix.rows = rows, matrix.cols = cols;
    matrix.tiles = (rows + lanes - 1) / lanes;
    matrix.tile_bytes = kernels->tile_bytes(kind, cols);
    Arena arena(matrix.tile_bytes * matrix.tiles);
    matrix.data = arena.take(matrix.tile_bytes * matrix.tiles);
    for (int t = 0; t < matrix.tiles; t++) {
      kernels->pack(kind, data + static_cast<uint64_t>(t) * lanes * stride, stride, std::min(lanes, rows - t * lanes), cols,
                    matrix.data + t * matrix.tile_bytes);
    }
    kernels->multiply(matrix, x, count, exact != 0, out);
  });
}
