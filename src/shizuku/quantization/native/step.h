// All layers for one chunk of rows, run by every thread together. Included once for each instruction set.
//
// Threads share the output rows of each product; between phases stands a barrier. Up to ALONE rows every
// thread norms and rounds for itself, which is cheaper than waiting; what it computes is the same either way.

struct Step {
  Model& m;
  Chunk& c;
  const int thread, threads;
  Worker& mine;
  const bool alone;

  Step(Model& model, Chunk& chunk, int t)
      : m(model), c(chunk), thread(t), threads(model.pool->size()), mine(model.workers[t]), alone(chunk.rows <= ALONE) {}

  void wait() { m.pool->barrier(); }
  bool is_mine(int row) const { return row % threads == thread; }
  size_t stride() const { return padded(m.s.width, GROUP); }
  float* stream(int row) const { return m.x.data() + row * stride(); }

  // Rows for a product: `fill(row, out)` writes the floats.
  template <class Fill>
  Rows prepare(RowUse use, int count, Fill fill) {
    const bool own = count <= ALONE;
    const Rows& rows = own ? mine.own[use].rows : m.rows[use].rows;
    const int width = m.width_of(use);
    for (int row = 0; row < count; row++) {
      if (!own && !is_mine(row)) continue;
      const Rows to = rows.from(row);
      fill(row, to.x);
      if (!m.s.float_activations) to_integers(to, width);
    }
    if (!own) wait();
    return rows;
  }

  Rows normed(RowUse use, const Norm& norm, const Matrix& next) {
    if (alone) ask(next);
    return prepare(use, c.rows, [&](int row, float* out) {
      if (norm.there) {
        normalise(stream(row), m.s.width, norm, m.s.layer_norm, m.s.norm_eps, out);
      } else {
        __builtin_memcpy(out, stream(row), sizeof(float) * m.s.width);
      }
    });
  }

  // Asks for the first bytes of this thread's share, to be under way while activations are prepared.
  void ask(const Matrix& matrix) {
    const int first = static_cast<int>(static_cast<int64_t>(matrix.tiles) * thread / threads);
    const uint8_t* at = matrix.data + first * matrix.tile_bytes;
    for (int i = 0; i < AHEAD; i += 64) __builtin_prefetch(at + i);
  }

  // A tile as products read it: as it is, or unpacked where activations stay floats.
  struct Tile {
    int kind;
    const uint8_t* data;
  };
  Tile tile_of(const Matrix& matrix, int tile, float* scratch) {
    const uint8_t* data = matrix.data + tile * matrix.tile_bytes;
    if (!m.s.float_activations || !FORMATS[matrix.kind].bits) return {matrix.kind, data};
    float* unpacked = scratch + padded(matrix.cols);
    unpack(matrix.kind, data, matrix.cols, scratch, unpacked);
    return {F32, reinterpret_cast<const uint8_t*>(unpacked)};
  }

  // A part of layer `l`, or with -1 of what is outside of the layers.
  const Matrix& matrix_of(int l, int part) const { return l < 0 ? m.outer[part] : m.layers[l].parts[part]; }

  // This thread's share of the tiles of several matrices over the same rows; `use(matrix, tile, row, count, out)`
  // takes results out[count][W].
  template <class Use>
  void products(int l, const int* parts, int part_count, const Rows& a, int count, Use use) {
    alignas(64) float out[MOST_ROWS * W];
    if (l >= 0) lower(l, parts, part_count, a);
    int tiles = 0, before = 0;
    for (int i = 0; i < part_count; i++) tiles += matrix_of(l, parts[i]).tiles;
    const int begin = static_cast<int>(static_cast<int64_t>(tiles) * thread / threads);
    const int end = static_cast<int>(static_cast<int64_t>(tiles) * (thread + 1) / threads);
    for (int i = 0; i < part_count; before += matrix_of(l, parts[i]).tiles, i++) {
      const Matrix& matrix = matrix_of(l, parts[i]);
      for (int t = begin > before ? begin - before : 0; t < matrix.tiles && t + before < end; t++) {
        const Tile tile = tile_of(matrix, t, mine.tile.data());
        const int most = FORMATS[tile.kind].rows;
        for (int row = 0; row < count; row += most) {
          const int n = count - row < most ? count - row : most;
          FORMATS[tile.kind].panel(tile.data, matrix.cols, a.from(row), n, out);
          if (l >= 0) adapt(l, parts[i], i, t, row, n, out);
          if (matrix.bias) {
            const F bias = load(matrix.bias + t * W);
            for (int r = 0; r < n; r++) store(out + r * W, ::SHIZUKU_SET::add(load(out + r * W), bias));
          }
          use(i, t, row, n, out);
        }
      }
    }
  }

  // A x of the i-th matrix of a phase, for the rows that have an adapter on it.
  Rows lowered(int i) {
    Rows rows;
    rows.x_stride = m.widest_rank;
    rows.x = alone ? mine.lowered.data() + i * ALONE * rows.x_stride : m.lowered.data() + i * m.chunk * rows.x_stride;
    return rows;
  }

  // Computes A x for several matrices over the same rows. It is little work: as with norms, every thread does it
  // for itself where rows are few.
  void lower(int l, const int* parts, int part_count, const Rows& a) {
    if (c.adapted.empty()) return;
    alignas(64) float out[MOST_ROWS * W];
    int piece = 0;
    for (const Adapted& group : c.adapted) {
      for (int i = 0; i < part_count; i++) {
        const LowRank& low = group.adapter->of(l, parts[i]);
        if (!low) continue;
        const int end = group.first + group.count, most = FORMATS[low.a.kind].rows;
        for (int t = 0; t < low.a.tiles; t++) {
          for (int row = group.first; row < end; row += most, piece++) {
            if (!alone && !is_mine(piece)) continue;
            const int n = std::min(end - row, most);
            FORMATS[low.a.kind].panel(low.a.data + t * low.a.tile_bytes, low.a.cols, a.from(row), n, out);
            for (int r = 0; r < n; r++) store(lowered(i).from(row + r).x + t * W, load(out + r * W));
          }
        }
      }
    }
    if (!alone) wait();
  }

  // Adds B (A x) to one tile of a product, out[n][W] of the rows from `row` on; `i` as in `lowered`.
  void adapt(int l, int part, int i, int t, int row, int n, float* out) {
    alignas(64) float added[MOST_ROWS * W];
    for (const Adapted& group : c.adapted) {
      const LowRank& low = group.adapter->of(l, part);
      const int end = std::min(row + n, group.first + group.count);
      if (!low || end <= group.first) continue;
      const int most = FORMATS[low.b.kind].rows;
      for (int from = std::max(row, group.first); from < end; from += most) {
        const int count = std::min(end - from, most);
        FORMATS[low.b.kind].panel(low.b.data + t * low.b.tile_bytes, low.b.cols, lowered(i).from(from), count, added);
        for (int r = 0; r < count; r++) {
          float* at = out + (from + r - row) * W;
          const F y = ::SHIZUKU_SET::add(load(at), load(added + r * W));
          store(at, low.factor ? mul(y, load(low.factor + t * W)) : y);
        }
      }
    }
  }

  // Adds a product to the residual stream, normed first where the model has a norm behind it.
  void add_to_stream(int l, int part, const Rows& a, const Norm& norm) {
    const F factor = broadcast(m.s.residual_multiplier);
    float* to = norm.there ? m.added.data() : m.x.data();
    products(l, &part, 1, a, c.rows, [&](int, int t, int row, int n, const float* out) {
      for (int r = 0; r < n; r++) {
        float* at = to + (row + r) * stride() + t * W;
        const F y = load(out + r * W);
        store(at, norm.there ? y : ::SHIZUKU_SET::add(load(at), mul(y, factor)));
      }
    });
    wait();
    if (!norm.there) return;
    for (int row = thread; row < c.rows; row += threads) {
      float* y = m.added.data() + row * stride();
      normalise(y, m.s.width, norm, m.s.layer_norm, m.s.norm_eps, y);
      float* x = stream(row);
      for (int d = 0; d < m.s.width; d++) x[d] += m.s.residual_multiplier * y[d];
    }
    wait();
  }

  void embed() {
    const Matrix& table = m.outer[EMBEDDING];
    for (int row = thread; row < c.rows; row += threads) {
      const int id = c.ids[row], position = c.positions[row];
      float* x = stream(row);
      FORMATS[table.kind].row(table.data + id / W * table.tile_bytes, id % W, m.s.width, x);
      if (m.s.embedding_multiplier != 1.0f) {
        for (int d = 0; d < m.s.width; d++) x[d] *= m.s.embedding_multiplier;
      }
      if (m.position_table) {
        for (int d = 0; d < m.s.width; d++) x[d] += m.position_table[static_cast<size_t>(position) * m.s.width + d];
      }
      const Norm& norm = m.outer_norms[EMBEDDING_NORM];
      if (norm.there) normalise(x, m.s.width, norm, m.s.layer_norm, m.s.norm_eps, x);
      for (int table_of = 0; table_of < 2; table_of++) {
        const std::vector<float>& frequencies = m.frequencies[table_of];
        const int half = static_cast<int>(frequencies.size());
        for (int i = 0; i < half; i++) {
          const float angle = static_cast<float>(position) * frequencies[i];
          m.cosines[table_of][row * half + i] = cosf(angle) * m.amplitude[table_of];
          m.sines[table_of][row * half + i] = sinf(angle) * m.amplitude[table_of];
        }
      }
    }
    wait();
  }

  // Norm and rotation of one head's query or key, in place.
  void finish_head(const Layer& layer, const Norm& norm, int row, float* x) {
    if (norm.there && !m.s.joint_norms) normalise(x, m.s.head_width, norm, false, m.s.norm_eps, x);
    const int half = m.s.rotary_width / 2;
    if (half) turn(x, half, m.cosines[layer.rotary].data() + row * half, m.sines[layer.rotary].data() + row * half);
  }
  void finish_jointly(const Layer& layer, float* qkv) {
    if (!m.s.joint_norms) return;
    if (!layer.norms[QUERY_NORM].there) return;
    normalise(qkv, m.inner, layer.norms[QUERY_NORM], false, m.s.norm_eps, qkv);
    normalise(qkv + m.key_at, m.shared, layer.norms[KEY_NORM], false, m.s.norm_eps, qkv + m.key_at);
  }
  template <class C>
  void finish_and_remember(int l, int row, int group) {
    const Layer& layer = m.layers[l];
    const int width = m.s.head_width, per_group = m.s.heads / m.s.kv_heads, position = c.positions[row];
    float* qkv = m.qkv.data() + static_cast<size_t>(row) * m.qkv_stride;
    for (int h = group * per_group; h < (group + 1) * per_group; h++) {
      float* q = qkv + h * width;
      finish_head(layer, layer.norms[QUERY_NORM], row, q);
      for (int d = 0; d < width; d++) q[d] *= m.s.attention_scale;
    }
    float* k = qkv + m.key_at + group * width;
    finish_head(layer, layer.norms[KEY_NORM], row, k);
    remember<C>(m, c.blocks[row][position / BLOCK], position % BLOCK, l, group, k, qkv + m.value_at + group * width);
  }

  template <class C>
  void attention(int l) {
    const int groups = m.s.kv_heads, per_group = m.s.heads / groups;
    if (m.s.joint_norms) {
      for (int row = thread; row < c.rows; row += threads) {
        finish_jointly(m.layers[l], m.qkv.data() + static_cast<size_t>(row) * m.qkv_stride);
      }
      wait();
    }
    // Where no row reads what another one of this call writes, a thread does a head from end to end.
    if (!c.single) {
      for (int i = thread; i < c.rows * groups; i += threads) finish_and_remember<C>(l, i / groups, i % groups);
      wait();
    }
    int piece = m.next[l].fetch_add(1, std::memory_order_relaxed), at = 0;
    for (const Segment& segment : c.segments) {
      const int queries = segment.count * per_group, pieces = (queries + QUERIES - 1) / QUERIES;
      for (; piece < at + pieces * groups; piece = m.next[l].fetch_add(1, std::memory_order_relaxed)) {
        // The last queries see the most keys: begin with them, so that no long piece comes last.
        const int group = (piece - at) % groups, part = pieces - 1 - (piece - at) / groups;
        if (c.single && part == pieces - 1) finish_and_remember<C>(l, segment.first, group);
        attend_piece<C>(l, segment, group, part * QUERIES, queries);
      }
      at += pieces * groups;
    }
    wait();
  }

  template <class C>
  void attend_piece(int l, const Segment& segment, int group, int from, int queries) {
    const int width = m.s.head_width, per_group = m.s.heads / m.s.kv_heads;
    Queries a;
    a.layer = l;
    a.head = group;
    a.window = m.layers[l].window;
    a.blocks = c.blocks[segment.first];
    a.query = mine.query.data();
    a.sums = mine.value.data();
    const int count = queries - from < QUERIES ? queries - from : QUERIES;
    for (int n = 0; n < count; n++) {
      const int row = segment.first + (from + n) / per_group, head = group * per_group + (from + n) % per_group;
      const float* q = m.qkv.data() + static_cast<size_t>(row) * m.qkv_stride + head * width;
      __builtin_memcpy(mine.query.data() + n * width, q, sizeof(float) * width);
      a.position[n] = c.positions[row];
      a.slope[n] = m.slopes.empty() ? 0.0f : m.slopes[head];
      a.out[n] = m.attention_of(row) + head * width;
    }
    attend<C>(m, a, count);
  }

  void layer(int l) {
    const Layer& layer = m.layers[l];
    const Rows in = normed(ATTENTION_IN, layer.norms[ATTENTION_NORM], layer.parts[QUERY]);
    Rows fed = in;
    if (m.s.parallel && !m.s.shared_norm) fed = normed(FEEDFORWARD_IN, layer.norms[FEEDFORWARD_NORM], layer.parts[UP]);
    const int qkv[] = {QUERY, KEY, VALUE}, places[] = {0, m.key_at, m.value_at};
    products(l, qkv, 3, in, c.rows, [&](int i, int t, int row, int n, const float* out) {
      for (int r = 0; r < n; r++) {
        store(m.qkv.data() + static_cast<size_t>(row + r) * m.qkv_stride + places[i] + t * W, load(out + r * W));
      }
    });
    wait();
    switch (m.s.cache) {
      case CACHE_F16: attention<CacheHalf>(l); break;
      case CACHE_F32: attention<CacheFloat>(l); break;
      default: attention<CacheBytes>(l);
    }
    if (alone) ask(layer.parts[OUTPUT]);
    const Rows attended = prepare(ATTENDED, c.rows, [&](int row, float* out) {
      __builtin_memcpy(out, m.attention_of(row), sizeof(float) * m.inner);
    });
    add_to_stream(l, OUTPUT, attended, layer.norms[ATTENTION_OUTPUT_NORM]);
    if (!m.s.parallel) fed = normed(FEEDFORWARD_IN, layer.norms[FEEDFORWARD_NORM], layer.parts[UP]);
    feedforward(l, fed);
  }

  void feedforward(int l, const Rows& fed) {
    const Layer& layer = m.layers[l];
    const int kind = m.s.activation, up = UP;
    if (layer.parts[GATE]) {
      gated(l, fed, kind);
    } else {
      products(l, &up, 1, fed, c.rows, [&](int, int t, int row, int n, const float* out) {
        for (int r = 0; r < n; r++) store(m.hidden(row + r) + t * W, activated(load(out + r * W), kind));
      });
    }
    wait();
    if (alone) ask(layer.parts[DOWN]);
    const Rows hidden = prepare(HIDDEN, c.rows, [&](int row, float* out) {
      __builtin_memcpy(out, m.hidden(row), sizeof(float) * m.s.ffn_width);
    });
    add_to_stream(l, DOWN, hidden, layer.norms[FEEDFORWARD_OUTPUT_NORM]);
  }

  // Gate and up tile by tile, so that their results never leave the core before they are multiplied.
  void gated(int l, const Rows& fed, int kind) {
    const int both[] = {GATE, UP};
    const Matrix &gate = m.layers[l].parts[GATE], &up = m.layers[l].parts[UP];
    lower(l, both, 2, fed);
    alignas(64) float g[MOST_ROWS * W], u[MOST_ROWS * W];
    const int begin = static_cast<int>(static_cast<int64_t>(gate.tiles) * thread / threads);
    const int end = static_cast<int>(static_cast<int64_t>(gate.tiles) * (thread + 1) / threads);
    float* second = mine.tile.data() + mine.tile.size() / 2;
    for (int t = begin; t < end; t++) {
      const Tile gate_tile = tile_of(gate, t, mine.tile.data()), up_tile = tile_of(up, t, second);
      const int most = std::min(FORMATS[gate_tile.kind].rows, FORMATS[up_tile.kind].rows);
      for (int row = 0; row < c.rows; row += most) {
        const int n = c.rows - row < most ? c.rows - row : most;
        FORMATS[gate_tile.kind].panel(gate_tile.data, gate.cols, fed.from(row), n, g);
        FORMATS[up_tile.kind].panel(up_tile.data, up.cols, fed.from(row), n, u);
        adapt(l, GATE, 0, t, row, n, g);
        adapt(l, UP, 1, t, row, n, u);
        for (int r = 0; r < n; r++) {
          F x = load(g + r * W), y = load(u + r * W);
          if (gate.bias) x = ::SHIZUKU_SET::add(x, load(gate.bias + t * W));
          if (up.bias) y = ::SHIZUKU_SET::add(y, load(up.bias + t * W));
          store(m.hidden(row + r) + t * W, mul(activated(x, kind), y));
        }
      }
    }
  }

  void head() {
    const int count = static_cast<int>(c.wanted.size());
    if (count == 0) return;
    if (!c.logits) {
      for (int i = thread; i < count; i += threads) final_row(i, c.out + static_cast<size_t>(i) * m.s.width);
      return;
    }
    const Rows last = prepare(FINAL, count, [&](int i, float* out) { final_row(i, out); });
    const int table = m.outer[UNEMBEDDING] ? UNEMBEDDING : EMBEDDING;
    products(-1, &table, 1, last, count, [&](int, int t, int row, int n, float* out) {
      for (int r = 0; r < n; r++) {
        if (m.s.logit_cap > 0.0f) store(out + r * W, capped(load(out + r * W), m.s.logit_cap));
        float* to = c.out + static_cast<size_t>(row + r) * m.s.vocab + t * W;
        const int lanes = m.s.vocab - t * W < W ? m.s.vocab - t * W : W;
        if (lanes == W) {
          store(to, load(out + r * W));
        } else {
          __builtin_memcpy(to, out + r * W, sizeof(float) * lanes);
        }
      }
    });
  }
  void final_row(int i, float* out) {
    normalise(stream(c.wanted[i]), m.s.width, m.outer_norms[FINAL_NORM], m.s.layer_norm, m.s.norm_eps, out);
    if (m.s.logit_multiplier == 1.0f) return;
    for (int d = 0; d < m.s.width; d++) out[d] *= m.s.logit_multiplier;
  }
};

static void step(Model& model, Chunk& chunk, int thread) {
  Step s(model, chunk, thread);
  s.embed();
  for (int l = 0; l < model.s.layers; l++) s.layer(l);
  s.head();
}

static const Kernels KERNELS = {SHIZUKU_NAME, W, QUERIES, VALUE_LANES, tile_bytes, pack, row, multiply, step};
