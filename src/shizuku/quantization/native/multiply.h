// One product outside of any model, on the calling thread: what the formats are tested by.
// Included once for each instruction set, inside its namespace.

// out[count, rows] = x[count, cols] times the transposed weight [rows, cols], given in tiles.
// `exact` keeps the activations floats.
static void multiply(const Matrix& matrix, const float* x, int count, bool exact, float* out) {
  RowStore store_of;
  store_of.make(count, matrix.cols);
  const Rows a = store_of.rows;
  for (int n = 0; n < count; n++) {
    __builtin_memcpy(a.from(n).x, x + static_cast<size_t>(n) * matrix.cols, sizeof(float) * matrix.cols);
    to_integers(a.from(n), matrix.cols);
  }
  const bool unpacked = exact && FORMATS[matrix.kind].bits;
  const FormatTable& format = FORMATS[unpacked ? static_cast<int>(F32) : matrix.kind];
  std::vector<float> floats(unpacked ? static_cast<size_t>(matrix.cols) * (W + 1) : 0);
  alignas(64) float result[MOST_ROWS * W];
  for (int t = 0; t < matrix.tiles; t++) {
    const uint8_t* tile = matrix.data + t * matrix.tile_bytes;
    if (unpacked) {
      unpack(matrix.kind, tile, matrix.cols, floats.data(), floats.data() + matrix.cols);
      tile = reinterpret_cast<const uint8_t*>(floats.data() + matrix.cols);
    }
    const int lanes = matrix.rows - t * W < W ? matrix.rows - t * W : W;
    for (int n = 0; n < count; n += format.rows) {
      const int some = count - n < format.rows ? count - n : format.rows;
      format.panel(tile, matrix.cols, a.from(n), some, result);
      for (int i = 0; i < some; i++) {
        __builtin_memcpy(out + static_cast<size_t>(n + i) * matrix.rows + t * W, result + i * W, sizeof(float) * lanes);
      }
    }
  }
}
