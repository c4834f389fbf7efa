// SGD without momentum: row -= learning_rate * gradient.

#ifndef HET_TF_KERNELS_OPTIMIZER_SGD_H_
#define HET_TF_KERNELS_OPTIMIZER_SGD_H_

#include <memory>

#include "kernels/optimizer/optimizer.h"

namespace het {

// Takes no parameters.
Result<std::unique_ptr<const Optimizer>> CreateSgd(const ComponentSpec& spec);

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_SGD_H_
