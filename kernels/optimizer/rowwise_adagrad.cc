#include "kernels/optimizer/rowwise_adagrad.h"

#include <cmath>

#include "kernels/base/parameters.h"
#include "kernels/base/simd.h"
#include "kernels/optimizer/sum_of_squares.h"

namespace het {
namespace {

class RowwiseAdagrad final : public Optimizer {
 public:
  RowwiseAdagrad(float initial_accumulator_value, float epsilon)
      : initial_accumulator_value_(initial_accumulator_value),
        epsilon_(epsilon) {}

  std::size_t SlotCount(std::size_t) const override { return 1; }

  void InitializeSlots(std::size_t, float* slots) const override {
    slots[0] = initial_accumulator_value_;
  }

  void Step(float learning_rate, const float* gradient, std::size_t dimension,
            float* row, float* slots) const override {
    RunVectorized([&]() HET_LOOP {
      slots[0] +=
          SumOfSquares(gradient, dimension) / static_cast<float>(dimension);
      const float step = learning_rate / (std::sqrt(slots[0]) + epsilon_);
      for (std::size_t i = 0; i < dimension; ++i) row[i] -= step * gradient[i];
    });
  }

  float StepScale(const float* slots, std::size_t) const override {
    return slots[0] > 0 ? 1.0f / (std::sqrt(slots[0]) + epsilon_) : 0.0f;
  }

  bool linear() const override { return false; }

 private:
  const float initial_accumulator_value_;
  const float epsilon_;
};

}  // namespace

Result<std::unique_ptr<const Optimizer>> CreateRowwiseAdagrad(
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
  return std::unique_ptr<const Optimizer>(new RowwiseAdagrad(
      reader.Get("initial_accumulator_value"), reader.Get("epsilon")));
}

}  // namespace het
