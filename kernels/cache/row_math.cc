#include "kernels/cache/row_math.h"

#include <algorithm>

// The sanitizers do not survive the loader's choice between versions.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HET_BEST_OF __attribute__((target_clones("avx2", "default")))
#else
#define HET_BEST_OF
#endif

namespace het {
namespace {

constexpr std::uint32_t kAhead = 8;

// The values d..d + kWidth of the row: the sum stays in registers.
template <std::size_t kWidth>
inline __attribute__((always_inline)) void ApplyColumns(
    const BatchGradients& gradients, std::uint32_t begin, std::uint32_t end,
    std::size_t d, float gain, float step, float* row, float* pending) {
  float sum[kWidth] = {};
  for (std::uint32_t k = begin; k < end; ++k) {
    const float* gradient =
        gradients.values + gradients.positions[k] * gradients.dimension + d;
    for (std::size_t c = 0; c < kWidth; ++c) sum[c] += gradient[c];
  }
  if (gradients.scale != 1.0f) {
    for (std::size_t c = 0; c < kWidth; ++c) sum[c] *= gradients.scale;
  }
  for (std::size_t c = 0; c < kWidth; ++c) pending[d + c] += gain * sum[c];
  for (std::size_t c = 0; c < kWidth; ++c) row[d + c] -= step * sum[c];
}

}  // namespace

HET_BEST_OF
void ApplyOccurrences(const BatchGradients& gradients, std::uint32_t begin,
                      std::uint32_t end, std::uint32_t last, float gain,
                      float step, float* row, float* pending) {
  const std::size_t dimension = gradients.dimension;
  for (std::uint32_t k = begin; k < end; ++k) {
    if (k + kAhead >= last) break;
    const float* next =
        gradients.values + gradients.positions[k + kAhead] * dimension;
    for (std::size_t d = 0; d < std::min<std::size_t>(dimension, 64); d += 16) {
      __builtin_prefetch(next + d);
    }
  }
  std::size_t d = 0;
  for (; d + 64 <= dimension; d += 64) {
    ApplyColumns<64>(gradients, begin, end, d, gain, step, row, pending);
  }
  for (; d + 16 <= dimension; d += 16) {
    ApplyColumns<16>(gradients, begin, end, d, gain, step, row, pending);
  }
  for (; d + 4 <= dimension; d += 4) {
    ApplyColumns<4>(gradients, begin, end, d, gain, step, row, pending);
  }
  for (; d < dimension; ++d) {
    ApplyColumns<1>(gradients, begin, end, d, gain, step, row, pending);
  }
}

}  // namespace het
