// The arithmetic of an update over rows, in pieces that threads may share.
//
// Compiled for AVX2 as well where the compiler can choose at run time; the
// order of operations is the same in every version (no contraction), hence the
// bits. Pure functions over memory that the caller owns.

#ifndef HET_TF_KERNELS_CACHE_ROW_MATH_H_
#define HET_TF_KERNELS_CACHE_ROW_MATH_H_

#include <cstddef>
#include <cstdint>

namespace het {

// The gradients of a batch, occurrence by occurrence.
struct BatchGradients {
  const float* values = nullptr;  // [occurrences, dimension]
  const std::uint32_t* positions = nullptr;
  std::size_t dimension = 0;
  float scale = 1;  // of every sum
};

// sum[d] = scale * (gradients of the occurrences positions[begin..end), added
// in this order).
void SumOccurrences(const BatchGradients& gradients, std::uint32_t begin,
                    std::uint32_t end, float* sum);

// pending[d] += gain * gradient[d]; row[d] -= step * gradient[d].
void ApplyStep(const float* gradient, std::size_t dimension, float gain,
               float step, float* row, float* pending);

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_ROW_MATH_H_
