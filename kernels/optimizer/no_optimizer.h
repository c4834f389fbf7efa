// "none": the optimizer of a table is not known yet, or never will be (a job that
// only reads). Such a table refuses pushes; see EmbeddingStore::CreateTable for
// how it gets its optimizer.

#ifndef HET_TF_KERNELS_OPTIMIZER_NO_OPTIMIZER_H_
#define HET_TF_KERNELS_OPTIMIZER_NO_OPTIMIZER_H_

#include <memory>

#include "kernels/base/component_spec.h"
#include "kernels/base/status.h"
#include "kernels/optimizer/optimizer.h"

namespace het {

Result<std::unique_ptr<const Optimizer>> CreateNoOptimizer(
    const ComponentSpec& spec);

inline bool IsNoOptimizer(const ComponentSpec& spec) {
  return spec.name == "none";
}

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_NO_OPTIMIZER_H_
