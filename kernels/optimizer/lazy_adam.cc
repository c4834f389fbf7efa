#include "kernels/optimizer/lazy_adam.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/base/parameters.h"
#include "kernels/base/simd.h"

namespace het {
namespace {

// 1 - beta^steps, rounded where Keras rounds it.
float OneMinusPower(float beta, float steps) {
  double power = 1, square = beta;
  for (auto left = static_cast<std::uint32_t>(steps); left != 0; left >>= 1) {
    if (left & 1) power *= square;
    square *= square;
  }
  return 1.0f - static_cast<float>(power);
}

class LazyAdam final : public Optimizer {
 public:
  LazyAdam(double beta_1, double beta_2, float epsilon)
      : beta_1_(static_cast<float>(beta_1)),
        beta_2_(static_cast<float>(beta_2)),
        one_minus_beta_1_(static_cast<float>(1 - beta_1)),
        one_minus_beta_2_(static_cast<float>(1 - beta_2)),
        epsilon_(epsilon) {}

  std::size_t SlotCount(std::size_t dimension) const override {
    return 2 * dimension + 1;
  }

  void InitializeSlots(std::size_t dimension, float* slots) const override {
    std::fill_n(slots, SlotCount(dimension), 0.0f);
  }

  void Step(float learning_rate, const float* gradient, std::size_t dimension,
            float* row, float* slots) const override {
    float* __restrict values = row;
    float* __restrict m = slots;
    float* __restrict v = slots + dimension;
    // Stands still at 2^24, where both powers are 0 for any beta that a float
    // can hold below 1 - 2^-18.
    float& steps = slots[2 * dimension];
    steps += 1;
    const float alpha = learning_rate * Correction(steps);
    RunVectorized([&]() HET_LOOP {
      for (std::size_t i = 0; i < dimension; ++i) {
        m[i] += (gradient[i] - m[i]) * one_minus_beta_1_;
        v[i] += (gradient[i] * gradient[i] - v[i]) * one_minus_beta_2_;
        values[i] -= m[i] * alpha / (std::sqrt(v[i]) + epsilon_);
      }
    });
  }

  float StepScale(const float* slots, std::size_t dimension) const override {
    float sum = 0;
    for (std::size_t i = 0; i < dimension; ++i) sum += slots[dimension + i];
    if (!(sum > 0)) return 0;
    const float root = std::sqrt(sum / static_cast<float>(dimension));
    return Correction(slots[2 * dimension] + 1) * one_minus_beta_1_ /
           (root + epsilon_);
  }

  bool linear() const override { return false; }

 private:
  float Correction(float steps) const {
    return std::sqrt(OneMinusPower(beta_2_, steps)) /
           OneMinusPower(beta_1_, steps);
  }

  const float beta_1_;
  const float beta_2_;
  const float one_minus_beta_1_;
  const float one_minus_beta_2_;
  const float epsilon_;
};

}  // namespace

Result<std::unique_ptr<const Optimizer>> CreateLazyAdam(
    const ComponentSpec& spec) {
  const ParameterReader reader(
      "optimizer", spec,
      {{"beta_1", 0.9}, {"beta_2", 0.999}, {"epsilon", 1e-7}});
  HET_RETURN_IF_ERROR(reader.status());
  for (const char* beta : {"beta_1", "beta_2"}) {
    if (reader.Get(beta) < 0 || reader.Get(beta) >= 1) {
      return reader.Refuse(beta, "a number in [0, 1)");
    }
  }
  if (!(reader.Get("epsilon") > 0)) {
    return reader.Refuse("epsilon", "more than 0");
  }
  return std::unique_ptr<const Optimizer>(
      new LazyAdam(reader.GetDouble("beta_1"), reader.GetDouble("beta_2"),
                   reader.Get("epsilon")));
}

}  // namespace het
