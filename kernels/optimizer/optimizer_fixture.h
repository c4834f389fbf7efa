// What tests of optimizers share: a row that takes steps, and the same gradients
// for it and for the reference it is compared with.
//
// Test code, single-threaded.

#ifndef HET_TF_KERNELS_OPTIMIZER_OPTIMIZER_FIXTURE_H_
#define HET_TF_KERNELS_OPTIMIZER_OPTIMIZER_FIXTURE_H_

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "kernels/optimizer/optimizer.h"

namespace het {

inline std::unique_ptr<const Optimizer> Make(const ComponentSpec& spec) {
  auto optimizer = CreateOptimizer(spec);
  EXPECT_TRUE(optimizer.ok()) << optimizer.status().ToString();
  return std::move(optimizer).Take();
}

inline void ExpectRefused(const ComponentSpec& spec, const char* text) {
  const Status status = CreateOptimizer(spec).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(text), std::string::npos)
      << status.ToString();
}

// A row of an optimizer, and its first values in double for a reference.
struct SteppedRow {
  SteppedRow(const ComponentSpec& spec, std::size_t dimension)
      : optimizer(Make(spec)),
        values(dimension),
        slots(optimizer->SlotCount(dimension)) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (float& value : values) value = normal(random);
    optimizer->InitializeSlots(dimension, slots.data());
    reference.assign(values.begin(), values.end());
  }

  void Step(float learning_rate, const std::vector<float>& gradient) {
    optimizer->Step(learning_rate, gradient.data(), values.size(),
                    values.data(), slots.data());
  }

  float StepScale() const {
    return optimizer->StepScale(slots.data(), values.size());
  }

  // Every value within 1e-5 of the reference, relative to values of order 1.
  void ExpectIsReference() const {
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(values[i], reference[i],
                  1e-5 * (0.1 + std::fabs(reference[i])))
          << "value " << i;
    }
  }

  std::unique_ptr<const Optimizer> optimizer;
  std::vector<float> values;
  std::vector<float> slots;
  std::vector<double> reference;
};

// Calls step(learning_rate, gradient) 100 times; both change.
template <typename Step>
void ForHundredSteps(std::size_t dimension, Step step) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  std::vector<float> gradient(dimension);
  for (int t = 0; t < 100; ++t) {
    for (float& value : gradient) value = normal(random);
    step(0.05f / static_cast<float>(1 + t / 20), gradient);
  }
}

}  // namespace het

#endif  // HET_TF_KERNELS_OPTIMIZER_OPTIMIZER_FIXTURE_H_
