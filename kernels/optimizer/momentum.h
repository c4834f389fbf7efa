// SGD with momentum, as Keras has it:
//   momentum = momentum * mu - learning_rate * gradient
//   row += momentum                                    without nesterov
//   row += momentum * mu - learning_rate * gradient    with nesterov
//
// Slots: the momentum, one float per value. A row moves only when it is pushed:
// its momentum does not carry it on through steps that do not touch it, as
// Keras's would.
// Step scale: what a gradient itself moves in its own step, 1 (1 + mu with
// nesterov). What it moves later is not in the copy until the next fetch.

#ifndef HET_TF_KERNELS_OPTIMIZER_MOMENTUM_H_
#define HET_TF_KERNELS_OPTIMIZER_MOMENTUM_H_

#include <memory>

#include "kernels/optimizer/optimizer.h"

namespace het {

// Parameters: momentum (0.9; in [0, 1]), nesterov (0; 0 or 1).
Result<std::unique_ptr<const Optimizer>> CreateMomentum(
    const ComponentSpec& spec);

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_MOMENTUM_H_
