#include "kernels/cache/row_math.h"

#include <cstring>

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

// Eight values side by side; the compiler would not see it by itself.
using Eight = float __attribute__((vector_size(32)));

inline __attribute__((always_inline)) void Load(const float* from, Eight* to) {
  std::memcpy(to, from, sizeof(Eight));
}
inline __attribute__((always_inline)) void Load(const float* from, float* to) {
  *to = *from;
}

// The values d..d + kCount * (values in T) of the row: the sum stays in
// registers.
template <typename T, std::size_t kCount>
inline __attribute__((always_inline)) void ApplyColumns(
    const BatchGradients& gradients, std::uint32_t begin, std::uint32_t end,
    std::size_t d, float gain, float step, float* row, float* pending) {
  constexpr std::size_t kWidth = sizeof(T) / sizeof(float);
  T sum[kCount] = {};
  for (std::uint32_t k = begin; k < end; ++k) {
    const float* gradient =
        gradients.values + gradients.positions[k] * gradients.dimension + d;
    for (std::size_t c = 0; c < kCount; ++c) {
      T value;
      Load(gradient + c * kWidth, &value);
      sum[c] += value;
    }
  }
  for (std::size_t c = 0; c < kCount; ++c) {
    if (gradients.scale != 1.0f) sum[c] *= gradients.scale;
    float* const p = pending + d + c * kWidth;
    float* const r = row + d + c * kWidth;
    T value;
    Load(p, &value);
    value += gain * sum[c];
    std::memcpy(p, &value, sizeof(value));
    Load(r, &value);
    value -= step * sum[c];
    std::memcpy(r, &value, sizeof(value));
  }
}

}  // namespace

HET_BEST_OF
void ApplyOccurrences(const BatchGradients& gradients, std::uint32_t begin,
                      std::uint32_t end, std::uint32_t last, float gain,
                      float step, float* row, float* pending) {
  const std::size_t dimension = gradients.dimension;
  for (std::uint32_t k = begin; k < end; ++k) {
    if (k + kAhead >= last) break;
    PrefetchRow(gradients.values + gradients.positions[k + kAhead] * dimension,
                dimension);
  }
  std::size_t d = 0;
  for (; d + 64 <= dimension; d += 64) {
    ApplyColumns<Eight, 8>(gradients, begin, end, d, gain, step, row, pending);
  }
  for (; d + 16 <= dimension; d += 16) {
    ApplyColumns<Eight, 2>(gradients, begin, end, d, gain, step, row, pending);
  }
  for (; d + 8 <= dimension; d += 8) {
    ApplyColumns<Eight, 1>(gradients, begin, end, d, gain, step, row, pending);
  }
  for (; d < dimension; ++d) {
    ApplyColumns<float, 1>(gradients, begin, end, d, gain, step, row, pending);
  }
}

}  // namespace het
