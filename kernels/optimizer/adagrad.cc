#include "kernels/optimizer/adagrad.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/parameters.h"
#include "kernels/base/simd.h"

namespace het {
namespace {

class Adagrad final : public Optimizer {
 public:
  Adagrad(float initial_accumulator_value, float epsilon)
      : initial_accumulator_value_(initial_accumulator_value),
        epsilon_(epsilon) {}

  std::size_t SlotCount(std::size_t dimension) const override {
    return dimension;
  }

  void InitializeSlots(std::size_t dimension, float* slots) const override {
    std::fill_n(slots, dimension, initial_accumulator_value_);
  }

  void Step(float learning_rate, const float* gradient, std::size_t dimension,
            float* row, float* slots) const override {
    RunVectorized([&]() HET_LOOP {
      for (std::size_t i = 0; i < dimension; ++i) {
        slots[i] += gradient[i] * gradient[i];
        row[i] -= learning_rate * gradient[i] / std::sqrt(slots[i] + epsilon_);
      }
    });
  }

  float StepScale(const float* slots, std::size_t dimension) const override {
    float sum = 0;
    for (std::size_t i = 0; i < dimension; ++i) {
      sum += 1.0f / std::sqrt(slots[i] + epsilon_);
    }
    return sum / static_cast<float>(dimension);
  }

  bool linear() const override { return false; }

 private:
  const float initial_accumulator_value_;
  const float epsilon_;
};

}  // namespace

Result<std::unique_ptr<const Optimizer>> CreateAdagrad(
    const ComponentSpec& spec) {
  const ParameterReader reader(
      "optimizer", spec,
      {{"initial_accumulator_value", 0.1}, {"epsilon", 1e-7}});
  HET_RETURN_IF_ERROR(reader.status());
  if (reader.Get("initial_accumulator_value") < 0) {
    return reader.Refuse("initial_accumulator_value", "at least 0");
  }
  if (!(reader.Get("epsilon") > 0)) {
    return reader.Refuse("epsilon", "more than 0");
  }
  return std::unique_ptr<const Optimizer>(new Adagrad(
      reader.Get("initial_accumulator_value"), reader.Get("epsilon")));
}

}  // namespace het
