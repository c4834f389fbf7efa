// FTRL-Proximal (McMahan et al., 2013), as Keras has it; p = -learning_rate_power:
//   l2' = l2 + beta / (2 * learning_rate)
//   sum = accumulator + gradient^2
//   linear += gradient + 2 * l2_shrinkage * row
//             - (sum^p - accumulator^p) / learning_rate * row
//   row = (clip(linear, -l1, l1) - linear) / (sum^p / learning_rate + 2 * l2')
//   accumulator = sum
//
// Slots: accumulator and linear, 2 floats per value. `linear` starts at 0 as in
// Keras, whatever the row's initial value: the first push takes it most of the
// way to 0, so zeros are the natural initial values.
// Two divisions of 0 by 0 that Keras makes are not made: a learning rate of 0
// takes no step, and a value whose denominator is 0 (no gradient yet and
// nothing to start from) stays.
// With p = 1/2 the power is a square root. Other powers use std::pow: the bits
// then depend on the C library, so all shards and restarts need the same one.
// Step scale: the mean of 1 / (accumulator^p + beta), FTRL's step without
// regularization; a value whose denominator is 0 counts as 0.

#ifndef HET_TF_KERNELS_OPTIMIZER_FTRL_H_
#define HET_TF_KERNELS_OPTIMIZER_FTRL_H_

#include <memory>

#include "kernels/optimizer/optimizer.h"

namespace het {

// Parameters: learning_rate_power (-0.5; <= 0), initial_accumulator_value
// (0.1; >= 0), l1_regularization_strength, l2_regularization_strength,
// l2_shrinkage_regularization_strength and beta (each 0; >= 0).
Result<std::unique_ptr<const Optimizer>> CreateFtrl(
    const ComponentSpec& spec);

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_FTRL_H_
