#include "kernels/optimizer/optimizer.h"

#include "kernels/optimizer/adagrad.h"
#include "kernels/optimizer/no_optimizer.h"
#include "kernels/optimizer/sgd.h"

namespace het {

Result<std::unique_ptr<const Optimizer>> CreateOptimizer(
    const ComponentSpec& spec) {
  if (spec.name == "sgd") return CreateSgd(spec);
  if (spec.name == "adagrad") return CreateAdagrad(spec);
  if (IsNoOptimizer(spec)) return CreateNoOptimizer(spec);
  return InvalidArgument("unknown optimizer '", spec.name,
                         "'; a table can be trained by: sgd, adagrad");
}

}  // namespace het
