// Initializer: the value of a row that nobody has pushed to, computed from
// (seed, table, id). Nothing is stored for such a row, and every shard and
// every worker computes the same bits: only integer and basic IEEE operations
// are used (no libm, no contraction).
//
// Stateless after construction, hence thread-safe.

#ifndef HET_TF_KERNELS_INITIALIZER_INITIALIZER_H_
#define HET_TF_KERNELS_INITIALIZER_INITIALIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/base/component_spec.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"

namespace het {

class Initializer {
 public:
  virtual ~Initializer() = default;

  // Writes the initial values of row `id` of `table`.
  virtual void Fill(TableId table, RowId id, std::size_t dimension,
                    float* row) const = 0;
};

// Makes the initializer that `spec` names: "zeros", "constant" (value),
// "uniform" (minval, maxval), "normal" (mean, stddev), "truncated_normal"
// (mean, stddev; redrawn outside of two standard deviations). Parameters left
// out take Keras's defaults (RandomUniform: -0.05, 0.05; normals: 0, 0.05).
// Anything else is INVALID_ARGUMENT and lists what exists.
Result<std::unique_ptr<const Initializer>> CreateInitializer(
    const ComponentSpec& spec, std::uint64_t seed);

}  // namespace het

#endif  // HET_TF_KERNELS_INITIALIZER_INITIALIZER_H_
