// Adagrad (Duchi et al., 2011) with one accumulator per value, as Keras has it:
//   accumulator += gradient^2
//   row -= learning_rate * gradient / sqrt(accumulator + epsilon)

#ifndef HET_TF_KERNELS_OPTIMIZER_ADAGRAD_H_
#define HET_TF_KERNELS_OPTIMIZER_ADAGRAD_H_

#include <memory>

#include "kernels/optimizer/optimizer.h"

namespace het {

// Parameters: initial_accumulator_value (0.1; >= 0), epsilon (1e-7; > 0).
Result<std::unique_ptr<const Optimizer>> CreateAdagrad(
    const ComponentSpec& spec);

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_ADAGRAD_H_
