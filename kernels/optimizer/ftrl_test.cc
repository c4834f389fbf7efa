// FTRL against Keras's formula in double.

#include "kernels/optimizer/ftrl.h"

#include <algorithm>

#include "kernels/optimizer/optimizer_fixture.h"

namespace het {
namespace {

struct Regularization {
  double power, l1, l2, shrinkage, beta;
};

class FtrlTest : public ::testing::TestWithParam<Regularization> {};
INSTANTIATE_TEST_SUITE_P(
    Regularizations, FtrlTest,
    ::testing::Values(Regularization{0.5, 0, 0, 0, 0},
                      Regularization{0.5, 0.5, 0.2, 0.1, 1.5},
                      Regularization{0.7, 0.1, 0, 0, 0.5},
                      Regularization{0, 0, 0.3, 0, 0}));

TEST_P(FtrlTest, IsKerasFormulaOver100Steps) {
  const Regularization p = GetParam();
  SteppedRow row({"ftrl",
                  {{"learning_rate_power", -p.power},
                   {"l1_regularization_strength", p.l1},
                   {"l2_regularization_strength", p.l2},
                   {"l2_shrinkage_regularization_strength", p.shrinkage},
                   {"beta", p.beta}}},
                 13);
  ASSERT_EQ(row.slots.size(), 26u);
  std::vector<double> accumulator(13, 0.1), linear(13);
  ForHundredSteps(13, [&](float rate, const std::vector<float>& gradient) {
    row.Step(rate, gradient);
    double scale = 0;
    for (std::size_t i = 0; i < 13; ++i) {
      const double g = gradient[i];
      double& x = row.reference[i];
      const double l2 = p.l2 + p.beta / (2 * rate);
      const double sum = accumulator[i] + g * g;
      linear[i] += g + 2 * p.shrinkage * x -
                   (std::pow(sum, p.power) - std::pow(accumulator[i], p.power)) /
                       rate * x;
      x = (std::clamp(linear[i], -p.l1, p.l1) - linear[i]) /
          (std::pow(sum, p.power) / rate + 2 * l2);
      accumulator[i] = sum;
      scale += 1 / (std::pow(sum, p.power) + p.beta) / 13;
    }
    row.ExpectIsReference();
    ASSERT_NEAR(row.StepScale(), scale, 1e-5 * scale);
  });
  EXPECT_FALSE(row.optimizer->linear());
}

TEST(Ftrl, SmallGradientsKeepAValueAtZero) {
  SteppedRow row({"ftrl", {{"l1_regularization_strength", 10}}}, 3);
  row.values = {0, 0, 0};
  row.Step(0.1f, {1, -2, 20});
  EXPECT_EQ(row.values[0], 0);
  EXPECT_EQ(row.values[1], 0);
  EXPECT_LT(row.values[2], 0);
}

TEST(Ftrl, DividesNothingByZero) {
  SteppedRow row({"ftrl", {{"initial_accumulator_value", 0}}}, 2);
  EXPECT_EQ(row.StepScale(), 0);
  const std::vector<float> before = row.values, slots = row.slots;
  row.Step(0, {1, 2});
  EXPECT_EQ(row.values, before);
  EXPECT_EQ(row.slots, slots);
  row.Step(0.1f, {0, 2});
  EXPECT_EQ(row.values[0], before[0]);
  EXPECT_TRUE(std::isfinite(row.values[1]));
}

TEST(Ftrl, RefusesWhatIsNone) {
  ExpectRefused({"ftrl", {{"learning_rate_power", 0.5}}}, "at most 0");
  for (const char* name :
       {"initial_accumulator_value", "l1_regularization_strength",
        "l2_regularization_strength", "l2_shrinkage_regularization_strength",
        "beta"}) {
    ExpectRefused({"ftrl", {{name, -1}}}, name);
  }
}

}  // namespace
}  // namespace het
