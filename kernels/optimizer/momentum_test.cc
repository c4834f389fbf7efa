// Momentum and Nesterov's against Keras's formula in double.

#include "kernels/optimizer/momentum.h"

#include "kernels/optimizer/optimizer_fixture.h"

namespace het {
namespace {

class MomentumTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Nesterov, MomentumTest, ::testing::Bool());

TEST_P(MomentumTest, IsKerasFormulaOver100Steps) {
  const bool nesterov = GetParam();
  SteppedRow row({"momentum", {{"momentum", 0.8}, {"nesterov", nesterov}}}, 13);
  ASSERT_EQ(row.slots, std::vector<float>(13));
  std::vector<double> momentum(13);
  ForHundredSteps(13, [&](float rate, const std::vector<float>& gradient) {
    row.Step(rate, gradient);
    for (std::size_t i = 0; i < 13; ++i) {
      const double step = static_cast<double>(rate) * gradient[i];
      momentum[i] = 0.8 * momentum[i] - step;
      row.reference[i] += nesterov ? 0.8 * momentum[i] - step : momentum[i];
    }
    row.ExpectIsReference();
  });
  EXPECT_FALSE(row.optimizer->linear());
}

TEST_P(MomentumTest, TheStepScaleIsWhatAGradientItselfMoves) {
  SteppedRow row({"momentum", {{"nesterov", GetParam()}}}, 1);
  row.values = {0};
  row.Step(1, {-1});  // without momentum yet: nothing else moves
  EXPECT_FLOAT_EQ(row.StepScale(), row.values[0]);
}

TEST(Momentum, RefusesWhatIsNone) {
  ExpectRefused({"momentum", {{"momentum", 1.5}}}, "[0, 1]");
  ExpectRefused({"momentum", {{"momentum", -0.5}}}, "[0, 1]");
  ExpectRefused({"momentum", {{"nesterov", 0.5}}}, "0 or 1");
  ExpectRefused({"momentum", {{"dampening", 0.5}}}, "dampening");
}

}  // namespace
}  // namespace het
