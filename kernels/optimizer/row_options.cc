#include "kernels/optimizer/row_options.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/base/parameters.h"
#include "kernels/optimizer/sum_of_squares.h"

namespace het {
namespace {

constexpr float kNoLimit = std::numeric_limits<float>::max();

class WithRowOptions final : public Optimizer {
 public:
  WithRowOptions(std::unique_ptr<const Optimizer> inner, float clipnorm,
                 float weight_decay)
      : inner_(std::move(inner)),
        clipnorm_(clipnorm),
        weight_decay_(weight_decay) {}

  std::size_t SlotCount(std::size_t dimension) const override {
    return inner_->SlotCount(dimension);
  }

  void InitializeSlots(std::size_t dimension, float* slots) const override {
    inner_->InitializeSlots(dimension, slots);
  }

  void Step(float learning_rate, const float* gradient, std::size_t dimension,
            float* row, float* slots) const override {
    if (clipnorm_ != kNoLimit) gradient = Clipped(gradient, dimension);
    if (weight_decay_ != 0) {
      for (std::size_t i = 0; i < dimension; ++i) {
        row[i] -= row[i] * weight_decay_ * learning_rate;
      }
    }
    inner_->Step(learning_rate, gradient, dimension, row, slots);
  }

  float StepScale(const float* slots, std::size_t dimension) const override {
    return inner_->StepScale(slots, dimension);
  }

  bool linear() const override { return false; }

 private:
  // `gradient`, or a copy of it that this thread's next call overwrites.
  const float* Clipped(const float* gradient, std::size_t dimension) const {
    const float norm = std::sqrt(SumOfSquares(gradient, dimension));
    if (!(norm > clipnorm_)) return gradient;
    thread_local std::vector<float> clipped;
    if (clipped.size() < dimension) clipped.resize(dimension);
    for (std::size_t i = 0; i < dimension; ++i) {
      clipped[i] = gradient[i] * clipnorm_ / norm;
    }
    return clipped.data();
  }

  const std::unique_ptr<const Optimizer> inner_;
  const float clipnorm_;
  const float weight_decay_;
};

}  // namespace

Result<std::unique_ptr<const Optimizer>> CreateWithRowOptions(
    const ComponentSpec& spec,
    Result<std::unique_ptr<const Optimizer>> (*create)(const ComponentSpec&)) {
  ComponentSpec plain = spec;
  ComponentSpec options{spec.name, {}};
  for (const char* name : {"row_clipnorm", "weight_decay"}) {
    const auto option = plain.parameters.extract(name);
    if (!option.empty()) options.parameters[name] = option.mapped();
  }
  auto made = create(plain);
  HET_RETURN_IF_ERROR(made.status());
  if (options.parameters.empty()) return made;
  const ParameterReader reader(
      "optimizer", options, {{"row_clipnorm", kNoLimit}, {"weight_decay", 0}});
  HET_RETURN_IF_ERROR(reader.status());
  if (!(reader.Get("row_clipnorm") > 0)) {
    return reader.Refuse("row_clipnorm", "more than 0");
  }
  if (reader.Get("weight_decay") < 0) {
    return reader.Refuse("weight_decay", "at least 0");
  }
  return std::unique_ptr<const Optimizer>(
      new WithRowOptions(std::move(made).Take(), reader.Get("row_clipnorm"),
                         reader.Get("weight_decay")));
}

}  // namespace het
