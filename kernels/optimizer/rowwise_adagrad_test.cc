// Row-wise Adagrad against its formula in double.

#include "kernels/optimizer/rowwise_adagrad.h"

#include "kernels/optimizer/optimizer_fixture.h"

namespace het {
namespace {

// Shorter and longer than a SIMD register, and not a multiple of one.
class RowwiseAdagradTest : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Dimensions, RowwiseAdagradTest,
                         ::testing::Values(1, 3, 16, 29));

TEST_P(RowwiseAdagradTest, HasOneAccumulatorPerRow) {
  const std::size_t dimension = GetParam();
  SteppedRow row({"rowwise_adagrad", {}}, dimension);
  ASSERT_EQ(row.slots, std::vector<float>{0.1f});
  double accumulator = 0.1;
  ForHundredSteps(dimension, [&](float rate, const std::vector<float>& g) {
    row.Step(rate, g);
    double squares = 0;
    for (const double value : g) squares += value * value;
    accumulator += squares / static_cast<double>(dimension);
    const double step = rate / (std::sqrt(accumulator) + 1e-7);
    for (std::size_t i = 0; i < dimension; ++i) {
      row.reference[i] -= step * g[i];
    }
    row.ExpectIsReference();
    ASSERT_NEAR(row.slots[0], accumulator, 1e-5 * accumulator);
    ASSERT_NEAR(row.StepScale() * rate, step, 1e-5 * step);
  });
  EXPECT_FALSE(row.optimizer->linear());
}

TEST(RowwiseAdagrad, ARowWithoutHistoryHasNoStepScale) {
  SteppedRow row({"rowwise_adagrad", {{"initial_accumulator_value", 0}}}, 2);
  EXPECT_EQ(row.StepScale(), 0);
  row.Step(1, {0, 0});
  EXPECT_EQ(row.StepScale(), 0);
  EXPECT_EQ(row.values[0], static_cast<float>(row.reference[0]));
  row.Step(1, {4, 4});
  EXPECT_FLOAT_EQ(row.StepScale(), 0.25f);
}

TEST(RowwiseAdagrad, RefusesWhatIsNone) {
  ExpectRefused({"rowwise_adagrad", {{"initial_accumulator_value", -1}}},
                "at least 0");
  ExpectRefused({"rowwise_adagrad", {{"epsilon", 0}}}, "more than 0");
}

}  // namespace
}  // namespace het
