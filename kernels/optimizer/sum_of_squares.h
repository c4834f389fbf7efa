// SumOfSquares: the squared norm of a row's gradient, in an order of additions
// that is the same with and without SIMD: eight running sums, joined in pairs.
//
// A pure function.

#ifndef HET_TF_KERNELS_OPTIMIZER_SUM_OF_SQUARES_H_
#define HET_TF_KERNELS_OPTIMIZER_SUM_OF_SQUARES_H_

#include <cstddef>

#include "kernels/base/simd.h"

namespace het {

inline HET_LOOP float SumOfSquares(const float* values, std::size_t count) {
  constexpr std::size_t kLanes = 8;
  float sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += values[i + lane] * values[i + lane];
    }
  }
  for (std::size_t lane = 0; i < count; ++i, ++lane) {
    sums[lane] += values[i] * values[i];
  }
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) +
         ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_SUM_OF_SQUARES_H_
