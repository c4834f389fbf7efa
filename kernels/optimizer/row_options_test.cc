// Weight decay and clipping by row, around every optimizer.

#include "kernels/optimizer/row_options.h"

#include "kernels/optimizer/optimizer_fixture.h"

namespace het {
namespace {

class RowOptionsTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Optimizers, RowOptionsTest,
                         ::testing::Values("sgd", "momentum", "adagrad",
                                           "rowwise_adagrad", "lazy_adam",
                                           "ftrl"));

TEST_P(RowOptionsTest, DecaysTheRowBeforeTheStep) {
  SteppedRow plain({GetParam(), {}}, 13);
  SteppedRow decayed({GetParam(), {{"weight_decay", 0.2}}}, 13);
  ASSERT_EQ(decayed.slots, plain.slots);
  ForHundredSteps(13, [&](float rate, const std::vector<float>& gradient) {
    for (float& value : plain.values) value -= value * 0.2f * rate;
    plain.Step(rate, gradient);
    decayed.Step(rate, gradient);
    ASSERT_EQ(decayed.values, plain.values);
    ASSERT_EQ(decayed.StepScale(), plain.StepScale());
  });
  EXPECT_FALSE(decayed.optimizer->linear());
}

TEST_P(RowOptionsTest, ScalesAGradientThatIsTooLong) {
  SteppedRow plain({GetParam(), {}}, 13);
  SteppedRow clipped({GetParam(), {{"row_clipnorm", 3}}}, 13);
  int longer = 0;
  ForHundredSteps(13, [&](float rate, const std::vector<float>& gradient) {
    double squares = 0;
    for (const double value : gradient) squares += value * value;
    const double norm = std::sqrt(squares);
    std::vector<float> scaled = gradient;
    if (norm > 3) {
      ++longer;
      for (float& value : scaled) value = static_cast<float>(value * 3 / norm);
    }
    plain.Step(rate, scaled);
    clipped.Step(rate, gradient);
    for (std::size_t i = 0; i < 13; ++i) {
      ASSERT_NEAR(clipped.values[i], plain.values[i], 1e-5);
    }
  });
  EXPECT_GT(longer, 20);
  EXPECT_LT(longer, 95);
  EXPECT_FALSE(clipped.optimizer->linear());
}

TEST(RowOptions, ClipBeforeTheyDecay) {
  SteppedRow row({"sgd", {{"row_clipnorm", 5}, {"weight_decay", 0.5}}}, 2);
  row.values = {2, 4};
  row.Step(0.5f, {6, 8});
  EXPECT_EQ(row.values, (std::vector<float>{2 - 0.5f - 1.5f, 4 - 1 - 2}));
}

TEST(RowOptions, AGradientWithinTheNormStaysBitForBit) {
  SteppedRow plain({"adagrad", {}}, 3);
  SteppedRow clipped({"adagrad", {{"row_clipnorm", 3}}}, 3);
  plain.Step(0.1f, {1, 2, 2});
  clipped.Step(0.1f, {1, 2, 2});
  EXPECT_EQ(clipped.values, plain.values);
}

TEST(RowOptions, RefuseWhatIsNone) {
  ExpectRefused({"sgd", {{"row_clipnorm", 0}}}, "row_clipnorm");
  ExpectRefused({"sgd", {{"row_clipnorm", -1}}}, "more than 0");
  ExpectRefused({"adagrad", {{"weight_decay", -1}}}, "at least 0");
  ExpectRefused({"adagrad", {{"weight_decay", NAN}}}, "finite");
  ExpectRefused({"adam", {{"weight_decay", 1}}}, "unknown optimizer 'adam'");
  ExpectRefused({"none", {{"weight_decay", 1}}}, "weight_decay");
}

}  // namespace
}  // namespace het
