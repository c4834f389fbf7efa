#include "kernels/optimizer/momentum.h"

#include <algorithm>

#include "kernels/base/parameters.h"
#include "kernels/base/simd.h"

namespace het {
namespace {

class Momentum final : public Optimizer {
 public:
  Momentum(float momentum, bool nesterov)
      : momentum_(momentum), nesterov_(nesterov) {}

  std::size_t SlotCount(std::size_t dimension) const override {
    return dimension;
  }

  void InitializeSlots(std::size_t dimension, float* slots) const override {
    std::fill_n(slots, dimension, 0.0f);
  }

  void Step(float learning_rate, const float* gradient, std::size_t dimension,
            float* row, float* slots) const override {
    float* __restrict values = row;
    float* __restrict momentum = slots;
    RunVectorized([&]() HET_LOOP {
      for (std::size_t i = 0; i < dimension; ++i) {
        momentum[i] = momentum[i] * momentum_ - learning_rate * gradient[i];
      }
      if (nesterov_) {
        for (std::size_t i = 0; i < dimension; ++i) {
          values[i] += momentum[i] * momentum_ - learning_rate * gradient[i];
        }
      } else {
        for (std::size_t i = 0; i < dimension; ++i) values[i] += momentum[i];
      }
    });
  }

  float StepScale(const float*, std::size_t) const override {
    return nesterov_ ? 1.0f + momentum_ : 1.0f;
  }

  bool linear() const override { return false; }

 private:
  const float momentum_;
  const bool nesterov_;
};

}  // namespace

Result<std::unique_ptr<const Optimizer>> CreateMomentum(
    const ComponentSpec& spec) {
  const ParameterReader reader("optimizer", spec,
                               {{"momentum", 0.9}, {"nesterov", 0}});
  HET_RETURN_IF_ERROR(reader.status());
  const float momentum = reader.Get("momentum");
  if (momentum < 0 || momentum > 1) {
    return reader.Refuse("momentum", "a number in [0, 1]");
  }
  const float nesterov = reader.Get("nesterov");
  if (nesterov != 0 && nesterov != 1) {
    return reader.Refuse("nesterov", "0 or 1");
  }
  return std::unique_ptr<const Optimizer>(
      new Momentum(momentum, nesterov == 1));
}

}  // namespace het
