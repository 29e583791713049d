// Products of the ARM kernels against the portable ones, for an emulator; prints what differs and exits with its count.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

extern "C" {
const char* shizuku_instruction_sets();
const char* shizuku_multiply(const char* set, int kind, int rows, int cols, const uint8_t* data, uint64_t stride,
                             const float* x, int count, int exact, float* out);
}

struct Kind {
  int columns, bytes;
  std::vector<int> halves;  // where a block has numbers in half precision
};

int main() {
  // In the order of KINDS in library.py. Plain numbers are halves too, or the upper halves of floats.
  const Kind kinds[] = {{1, 4, {2}},    {1, 2, {0}},        {1, 2, {0}},         {32, 34, {0}},       {32, 18, {0}},
                        {32, 20, {0, 2}}, {32, 22, {0}}, {256, 144, {0, 2}}, {256, 176, {0, 2}}, {256, 210, {208}}};
  const int rows = 37, cols = 768, count = 23;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(count * cols);
  for (float& each : x) each = normal(random);
  const std::string here = shizuku_instruction_sets();
  std::printf("%s\n", here.c_str());
  int bad = 0;
  for (int k = 0; k < 10; k++) {
    const size_t stride = static_cast<size_t>(cols) / kinds[k].columns * kinds[k].bytes;
    std::vector<uint8_t> data(rows * stride);
    for (uint8_t& each : data) each = random();
    for (size_t block = 0; block < data.size(); block += kinds[k].bytes) {
      for (int at : kinds[k].halves) {
        const uint16_t bits = (k == 0 || k == 2 ? 0x3f00 : 0x2c00) | (random() & 0x80ff);  // about one, or less
        std::memcpy(&data[block + at], &bits, 2);
      }
    }
    for (int exact = 0; exact < 2; exact++) {
      std::vector<float> expected(rows * count), found(rows * count), alone(rows);
      shizuku_multiply("portable", k, rows, cols, data.data(), stride, x.data(), count, exact, expected.data());
      double squares = 0;
      for (float each : expected) squares += each * each;
      for (const char* set : {"neon", "neon_dot"}) {
        if ((" " + here + " ").find(std::string(" ") + set + " ") == std::string::npos) continue;
        shizuku_multiply(set, k, rows, cols, data.data(), stride, x.data(), count, exact, found.data());
        double most = 0;
        for (int i = 0; i < rows * count; i++) most = std::max(most, std::fabs(double(found[i]) - expected[i]));
        int differ = 0;
        for (int n = 0; n < count; n++) {
          shizuku_multiply(set, k, rows, cols, data.data(), stride, &x[n * cols], 1, exact, alone.data());
          differ += std::memcmp(alone.data(), &found[n * rows], sizeof(float) * rows) != 0;
        }
        const double distance = most / std::sqrt(squares / expected.size());
        if (distance < 1e-5 && differ == 0) continue;
        std::printf("kind %d, exact %d, %s: %.1e away, %d rows depend on company\n", k, exact, set, distance, differ);
        bad++;
      }
    }
  }
  return bad;
}
