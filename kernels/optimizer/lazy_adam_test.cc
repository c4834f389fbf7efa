// LazyAdam against Adam's formula in double.

#include "kernels/optimizer/lazy_adam.h"

#include "kernels/optimizer/optimizer_fixture.h"

namespace het {
namespace {

// As Keras computes it, whose beta is rounded to float32 before the power.
double OneMinusPower(float beta, int steps) {
  return 1 - std::pow(static_cast<double>(beta), steps);
}

TEST(LazyAdam, IsKerasFormulaOver100Steps) {
  SteppedRow row({"lazy_adam", {{"beta_1", 0.8}, {"epsilon", 1e-4}}}, 13);
  ASSERT_EQ(row.slots, std::vector<float>(27));
  std::vector<double> m(13), v(13);
  int t = 0;
  ForHundredSteps(13, [&](float rate, const std::vector<float>& gradient) {
    row.Step(rate, gradient);
    ++t;
    const double alpha = rate * std::sqrt(OneMinusPower(0.999f, t)) /
                         OneMinusPower(0.8f, t);
    for (std::size_t i = 0; i < 13; ++i) {
      const double g = gradient[i];
      m[i] += (g - m[i]) * (1 - 0.8);
      v[i] += (g * g - v[i]) * (1 - 0.999);
      row.reference[i] -= alpha * m[i] / (std::sqrt(v[i]) + 1e-4);
    }
    row.ExpectIsReference();
  });
  EXPECT_EQ(row.slots[26], 100);
  EXPECT_FALSE(row.optimizer->linear());
}

TEST(LazyAdam, TheFirstStepOfARowIsTheLearningRateWheneverItComes) {
  SteppedRow row({"lazy_adam", {}}, 2);
  row.Step(0.25f, {3, -0.5f});
  EXPECT_NEAR(row.values[0], row.reference[0] - 0.25, 1e-5);
  EXPECT_NEAR(row.values[1], row.reference[1] + 0.25, 1e-5);
}

TEST(LazyAdam, TheCountEndsWithoutHarm) {
  SteppedRow row({"lazy_adam", {}}, 1);
  row.slots = {1, 1, 16777216};
  row.Step(0.5f, {1});
  EXPECT_EQ(row.slots[2], 16777216);
  EXPECT_NEAR(row.values[0], row.reference[0] - 0.5, 1e-6);
}

TEST(LazyAdam, TheStepScaleIsWhatAGradientItselfMovesInTheNextStep) {
  SteppedRow row({"lazy_adam", {}}, 2);
  EXPECT_EQ(row.StepScale(), 0);  // no history: Adam's first step has no scale
  row.Step(0.1f, {0, 0});
  EXPECT_EQ(row.StepScale(), 0);
  for (int t = 0; t < 50; ++t) row.Step(0.1f, {2, -2});
  // The same step with and without the gradient.
  SteppedRow with({"lazy_adam", {}}, 2), without({"lazy_adam", {}}, 2);
  with.slots = without.slots = row.slots;
  with.Step(1, {0.01f, 0.01f});
  without.Step(1, {0, 0});
  EXPECT_NEAR(row.StepScale(), (without.values[0] - with.values[0]) / 0.01f,
              1e-2 * row.StepScale());
}

TEST(LazyAdam, RefusesWhatIsNone) {
  ExpectRefused({"lazy_adam", {{"beta_1", 1}}}, "[0, 1)");
  ExpectRefused({"lazy_adam", {{"beta_2", -0.1}}}, "[0, 1)");
  ExpectRefused({"lazy_adam", {{"epsilon", 0}}}, "more than 0");
  ExpectRefused({"lazy_adam", {{"amsgrad", 1}}}, "amsgrad");
}

}  // namespace
}  // namespace het
