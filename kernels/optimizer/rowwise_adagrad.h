// Row-wise Adagrad: Adagrad with one accumulator per row, as FBGEMM has it for
// embedding tables (EXACT_ROWWISE_ADAGRAD):
//   accumulator += mean over the row of gradient^2
//   row -= learning_rate * gradient / (sqrt(accumulator) + epsilon)
//
// Slots: one float per row. The start is Keras's Adagrad's, 0.1, FBGEMM's is 0.
// Step scale: 1 / (sqrt(accumulator) + epsilon), which lacks only the
// gradient's own part of the accumulator; 0 while the accumulator is 0.

#ifndef HET_TF_KERNELS_OPTIMIZER_ROWWISE_ADAGRAD_H_
#define HET_TF_KERNELS_OPTIMIZER_ROWWISE_ADAGRAD_H_

#include <memory>

#include "kernels/optimizer/optimizer.h"

namespace het {

// Parameters: initial_accumulator_value (0.1; >= 0), epsilon (1e-7; > 0).
Result<std::unique_ptr<const Optimizer>> CreateRowwiseAdagrad(
    const ComponentSpec& spec);

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_ROWWISE_ADAGRAD_H_
