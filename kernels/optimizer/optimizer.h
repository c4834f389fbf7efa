// Optimizer: one step of a table's optimizer on one row. The state ("slots")
// lives beside the row at the shard; the learning rate travels with each push.
//
// Stateless after construction, hence thread-safe; the caller owns row and
// slots and serialises the steps of one row. Arithmetic is plain IEEE float32
// without contraction, so that every shard and every build gets the same bits
// (but for FTRL with a learning_rate_power other than -1/2, see there). Loops
// over a row use nothing but sqrt of the math library, and come in several versions
// of which the processor gets its best (kernels/base/simd.h).
// Each optimizer is one file; CreateOptimizer is the only way to make one.

#ifndef HET_TF_KERNELS_OPTIMIZER_OPTIMIZER_H_
#define HET_TF_KERNELS_OPTIMIZER_OPTIMIZER_H_

#include <cstddef>
#include <memory>

#include "kernels/base/component_spec.h"
#include "kernels/base/status.h"

namespace het {

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Floats of state that a row of `dimension` floats carries.
  virtual std::size_t SlotCount(std::size_t dimension) const = 0;

  // Fills the slots of a row that is being created.
  virtual void InitializeSlots(std::size_t dimension, float* slots) const = 0;

  // One step: `gradient` is the sum over the row's occurrences.
  virtual void Step(float learning_rate, const float* gradient,
                    std::size_t dimension, float* row, float* slots) const = 0;

  // The factor by which a worker may advance its copy provisionally until it
  // is fetched again: row -= learning_rate * StepScale() * gradient. Exact for
  // SGD (1); for optimizers with slots one value for the row, what the gradient
  // itself moves in the next step (see each). Never infinite: 0 where the slots
  // say nothing yet, and the copy then waits for the next fetch.
  virtual float StepScale(const float* slots, std::size_t dimension) const = 0;

  // True when a step is linear in learning_rate * gradient and keeps no state.
  // A worker then accumulates learning_rate_t * gradient_t over its steps and
  // pushes the sum with learning rate 1, so that schedules are exact inside a
  // window of staleness. Others push the summed gradient with the last
  // learning rate as one step.
  virtual bool linear() const = 0;
};

// Makes the optimizer that `spec` names; parameters left out take Keras's
// defaults. Names: "sgd", "momentum", "adagrad", "rowwise_adagrad", "lazy_adam",
// "ftrl", each with the parameters in its header and those of row_options.h;
// "none" (see no_optimizer.h). Anything else is INVALID_ARGUMENT and lists what
// exists.
Result<std::unique_ptr<const Optimizer>> CreateOptimizer(
    const ComponentSpec& spec);

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_OPTIMIZER_H_
