#include "kernels/optimizer/sgd.h"

#include "kernels/base/parameters.h"
#include "kernels/base/simd.h"

namespace het {
namespace {

class Sgd final : public Optimizer {
 public:
  std::size_t SlotCount(std::size_t) const override { return 0; }
  void InitializeSlots(std::size_t, float*) const override {}

  void Step(float learning_rate, const float* gradient, std::size_t dimension,
            float* row, float*) const override {
    RunVectorized([&]() HET_LOOP {
      for (std::size_t i = 0; i < dimension; ++i) {
        row[i] -= learning_rate * gradient[i];
      }
    });
  }

  float StepScale(const float*, std::size_t) const override { return 1.0f; }
  bool linear() const override { return true; }
};

}  // namespace

Result<std::unique_ptr<const Optimizer>> CreateSgd(const ComponentSpec& spec) {
  HET_RETURN_IF_ERROR(ParameterReader("optimizer", spec, {}).status());
  return std::unique_ptr<const Optimizer>(new Sgd);
}

}  // namespace het
