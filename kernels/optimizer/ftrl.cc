#include "kernels/optimizer/ftrl.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/parameters.h"
#include "kernels/base/simd.h"

namespace het {
namespace {

struct FtrlParameters {
  float power;  // -learning_rate_power
  float initial_accumulator_value;
  float l1;
  float l2;
  float l2_shrinkage;
  float beta;
};

class Ftrl final : public Optimizer {
 public:
  explicit Ftrl(const FtrlParameters& parameters) : parameters_(parameters) {}

  std::size_t SlotCount(std::size_t dimension) const override {
    return 2 * dimension;
  }

  void InitializeSlots(std::size_t dimension, float* slots) const override {
    std::fill_n(slots, dimension, parameters_.initial_accumulator_value);
    std::fill_n(slots + dimension, dimension, 0.0f);
  }

  void Step(float learning_rate, const float* gradient, std::size_t dimension,
            float* row, float* slots) const override {
    if (learning_rate == 0) return;
    WithPower([&](const auto& power) {
      StepBy(power, learning_rate, gradient, dimension, row, slots);
    });
  }

  float StepScale(const float* slots, std::size_t dimension) const override {
    float sum = 0;
    WithPower([&](const auto& power) {
      for (std::size_t i = 0; i < dimension; ++i) {
        const float divisor = power(slots[i]) + parameters_.beta;
        sum += divisor > 0 ? 1.0f / divisor : 0.0f;
      }
    });
    return sum / static_cast<float>(dimension);
  }

  bool linear() const override { return false; }

 private:
  template <typename Use>
  void WithPower(Use use) const {
    if (parameters_.power == 0.5f) {
      use([](float x) { return std::sqrt(x); });
    } else {
      use([p = parameters_.power](float x) { return std::pow(x, p); });
    }
  }

  template <typename Power>
  void StepBy(const Power& power, float learning_rate, const float* gradient,
              std::size_t dimension, float* row, float* slots) const {
    float* __restrict values = row;
    float* __restrict accumulator = slots;
    float* __restrict linear = slots + dimension;
    const float l1 = parameters_.l1;
    const float l2 = parameters_.l2 + parameters_.beta / (2 * learning_rate);
    const float shrinkage = 2 * parameters_.l2_shrinkage;
    RunVectorized([&]() HET_LOOP {
      for (std::size_t i = 0; i < dimension; ++i) {
        const float sum = accumulator[i] + gradient[i] * gradient[i];
        const float root = power(sum);
        linear[i] += gradient[i] + shrinkage * values[i] -
                     (root - power(accumulator[i])) / learning_rate * values[i];
        const float above = linear[i] < -l1 ? -l1 : linear[i];
        const float clipped = above > l1 ? l1 : above;
        const float divisor = root / learning_rate + 2 * l2;
        const float moved = (clipped - linear[i]) / divisor;
        values[i] = divisor == 0 ? values[i] : moved;
        accumulator[i] = sum;
      }
    });
  }

  const FtrlParameters parameters_;
};

}  // namespace

Result<std::unique_ptr<const Optimizer>> CreateFtrl(const ComponentSpec& spec) {
  const ParameterReader reader("optimizer", spec,
                               {{"learning_rate_power", -0.5},
                                {"initial_accumulator_value", 0.1},
                                {"l1_regularization_strength", 0},
                                {"l2_regularization_strength", 0},
                                {"l2_shrinkage_regularization_strength", 0},
                                {"beta", 0}});
  HET_RETURN_IF_ERROR(reader.status());
  if (reader.Get("learning_rate_power") > 0) {
    return reader.Refuse("learning_rate_power", "at most 0");
  }
  for (const char* name :
       {"initial_accumulator_value", "l1_regularization_strength",
        "l2_regularization_strength", "l2_shrinkage_regularization_strength",
        "beta"}) {
    if (reader.Get(name) < 0) return reader.Refuse(name, "at least 0");
  }
  return std::unique_ptr<const Optimizer>(
      new Ftrl({-reader.Get("learning_rate_power"),
                reader.Get("initial_accumulator_value"),
                reader.Get("l1_regularization_strength"),
                reader.Get("l2_regularization_strength"),
                reader.Get("l2_shrinkage_regularization_strength"),
                reader.Get("beta")}));
}

}  // namespace het
