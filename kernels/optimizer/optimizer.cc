#include "kernels/optimizer/optimizer.h"

#include "kernels/optimizer/adagrad.h"
#include "kernels/optimizer/ftrl.h"
#include "kernels/optimizer/lazy_adam.h"
#include "kernels/optimizer/momentum.h"
#include "kernels/optimizer/no_optimizer.h"
#include "kernels/optimizer/row_options.h"
#include "kernels/optimizer/rowwise_adagrad.h"
#include "kernels/optimizer/sgd.h"

namespace het {
namespace {

Result<std::unique_ptr<const Optimizer>> CreatePlain(
    const ComponentSpec& spec) {
  if (spec.name == "sgd") return CreateSgd(spec);
  if (spec.name == "momentum") return CreateMomentum(spec);
  if (spec.name == "adagrad") return CreateAdagrad(spec);
  if (spec.name == "rowwise_adagrad") return CreateRowwiseAdagrad(spec);
  if (spec.name == "lazy_adam") return CreateLazyAdam(spec);
  if (spec.name == "ftrl") return CreateFtrl(spec);
  return InvalidArgument("unknown optimizer '", spec.name,
                         "'; a table can be trained by: sgd, momentum, "
                         "adagrad, rowwise_adagrad, lazy_adam, ftrl");
}

}  // namespace

Result<std::unique_ptr<const Optimizer>> CreateOptimizer(
    const ComponentSpec& spec) {
  if (IsNoOptimizer(spec)) return CreateNoOptimizer(spec);
  return CreateWithRowOptions(spec, CreatePlain);
}

}  // namespace het
