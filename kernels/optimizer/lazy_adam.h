// LazyAdam: Adam on the rows that are pushed, with Keras's formula:
//   m += (gradient - m) * (1 - beta_1)
//   v += (gradient^2 - v) * (1 - beta_2)
//   row -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
//          * m / (sqrt(v) + epsilon)
//
// t counts the steps of the row, not of the job. A moment of a row has seen as
// many gradients as the row has taken steps, and the correction of its bias is
// exact for that count only: by the job's count, a row that is first pushed late
// would begin with a step (1 - beta_1) / sqrt(1 - beta_2) times too large, 3.2
// by default. Nor does the row's count need workers that agree: under
// staleness they are at different steps, and a push may hold several of theirs.
// Where every step touches a row the two counts are one, and so is Keras's
// Adam. Rows that a step does not touch stay: Keras's Adam would move them on.
//
// Slots: m, v and the count, 2 * dimension + 1 floats. The powers are computed
// by multiplication in double and rounded to float32 as Keras rounds them.
// Step scale: what a gradient itself moves in the next step, with the root of
// the row's mean v for its roots; 0 for a row that has none (not pushed yet):
// Adam's first step does not grow with the gradient.

#ifndef HET_TF_KERNELS_OPTIMIZER_LAZY_ADAM_H_
#define HET_TF_KERNELS_OPTIMIZER_LAZY_ADAM_H_

#include <memory>

#include "kernels/optimizer/optimizer.h"

namespace het {

// Parameters: beta_1 (0.9; in [0, 1)), beta_2 (0.999; in [0, 1)), epsilon
// (1e-7; > 0). There is no AMSGrad.
Result<std::unique_ptr<const Optimizer>> CreateLazyAdam(
    const ComponentSpec& spec);

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_LAZY_ADAM_H_
