#include "kernels/optimizer/no_optimizer.h"

#include <cassert>

#include "kernels/base/parameters.h"

namespace het {
namespace {

class NoOptimizer final : public Optimizer {
 public:
  std::size_t SlotCount(std::size_t) const override { return 0; }
  void InitializeSlots(std::size_t, float*) const override {}
  void Step(float, const float*, std::size_t, float*, float*) const override {
    assert(!"pushes to a table without an optimizer are refused before");
  }
  float StepScale(const float*, std::size_t) const override { return 1.0f; }
  bool linear() const override { return true; }
};

}  // namespace

Result<std::unique_ptr<const Optimizer>> CreateNoOptimizer(
    const ComponentSpec& spec) {
  HET_RETURN_IF_ERROR(ParameterReader("optimizer", spec, {}).status());
  return std::unique_ptr<const Optimizer>(new NoOptimizer);
}

}  // namespace het
