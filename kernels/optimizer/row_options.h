// Row options: what any optimizer of rows may do besides its own step, around
// it and in Keras's order:
//   1. row_clipnorm: a gradient whose norm over the row is larger is scaled
//      down to it;
//   2. weight_decay: row -= row * weight_decay * learning_rate (decoupled).
//
// Both happen once per push (once per round of a synchronous table), to the
// gradient that was pushed (the sum of the round) and to rows that are pushed: not to the rows that nobody touches, which Keras decays too. The
// optimizer's step scale stays; a copy advanced provisionally is neither decayed
// nor clipped. With an option a step is no longer linear.
//
// Without either option the optimizer is what it is without this file.

#ifndef HET_TF_KERNELS_OPTIMIZER_ROW_OPTIONS_H_
#define HET_TF_KERNELS_OPTIMIZER_ROW_OPTIONS_H_

#include <memory>

#include "kernels/optimizer/optimizer.h"

namespace het {

// Makes by `create` the optimizer that `spec` names without its row options,
// and puts them around it. Parameters: row_clipnorm (none; > 0), weight_decay
// (0; >= 0).
Result<std::unique_ptr<const Optimizer>> CreateWithRowOptions(
    const ComponentSpec& spec,
    Result<std::unique_ptr<const Optimizer>> (*create)(const ComponentSpec&));

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_ROW_OPTIONS_H_
