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

HET_BEST_OF
void SumOccurrences(const BatchGradients& gradients, std::uint32_t begin,
                    std::uint32_t end, float* sum) {
  const std::size_t dimension = gradients.dimension;
  std::fill_n(sum, dimension, 0.0f);
  for (std::uint32_t k = begin; k < end; ++k) {
    const float* gradient =
        gradients.values + gradients.positions[k] * dimension;
    for (std::size_t d = 0; d < dimension; ++d) sum[d] += gradient[d];
  }
  if (gradients.scale != 1.0f) {
    for (std::size_t d = 0; d < dimension; ++d) sum[d] *= gradients.scale;
  }
}

HET_BEST_OF
void ApplyStep(const float* gradient, std::size_t dimension, float gain,
               float step, float* row, float* pending) {
  for (std::size_t d = 0; d < dimension; ++d) pending[d] += gain * gradient[d];
  for (std::size_t d = 0; d < dimension; ++d) row[d] -= step * gradient[d];
}

}  // namespace het
