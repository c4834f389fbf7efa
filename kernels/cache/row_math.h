// The arithmetic of an update over rows, in pieces that threads may share.
//
// Compiled for AVX2 as well where the compiler can choose at run time; the
// order of operations is the same in every version (no contraction), hence the
// bits. Pure functions over memory that the caller owns.

#ifndef HET_TF_KERNELS_CACHE_ROW_MATH_H_
#define HET_TF_KERNELS_CACHE_ROW_MATH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/base/prefetch.h"

namespace het {

// The gradients of a batch, occurrence by occurrence.
struct BatchGradients {
  const float* values = nullptr;  // [occurrences, dimension]
  const std::uint32_t* positions = nullptr;
  std::size_t dimension = 0;
  float scale = 1;  // of every sum
};

// One row's step. With g = scale * (gradients of the occurrences
// positions[begin..end), added in this order):
//   pending += gain * g;  row -= step * g.
// Brings the gradients of the next occurrences near, up to `last`.
void ApplyOccurrences(const BatchGradients& gradients, std::uint32_t begin,
                      std::uint32_t end, std::uint32_t last, float gain,
                      float step, float* row, float* pending);

// Brings a row of `dimension` values near, as much of it as the processor does
// not find by itself once it is read.
inline void PrefetchRow(const float* row, std::size_t dimension) {
  for (std::size_t d = 0; d < std::min<std::size_t>(dimension, 64); d += 16) {
    PrefetchLine(row + d);
  }
}

// Copies a row of `dimension` values.
inline void CopyRow(const float* from, std::size_t dimension, float* to) {
  constexpr std::size_t kLine = 16;
  std::size_t d = 0;
  for (; d + kLine <= dimension; d += kLine) {
    std::memcpy(to + d, from + d, kLine * sizeof(float));
  }
  for (; d < dimension; ++d) to[d] = from[d];
}

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_ROW_MATH_H_
