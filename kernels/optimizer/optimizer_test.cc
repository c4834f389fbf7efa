// Optimizers against their closed forms, bit for bit, and their refusals.

#include "kernels/optimizer/optimizer.h"

#include "kernels/optimizer/optimizer_fixture.h"

namespace het {
namespace {

TEST(Sgd, SubtractsTheLearningRateTimesTheGradient) {
  const auto sgd = Make({"sgd", {}});
  EXPECT_EQ(sgd->SlotCount(8), 0u);
  EXPECT_TRUE(sgd->linear());
  EXPECT_EQ(sgd->StepScale(nullptr, 8), 1.0f);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> row(8), expected;
  for (float& value : row) value = normal(random);
  expected = row;
  for (int step = 0; step < 100; ++step) {
    const float rate = 0.1f / static_cast<float>(1 + step);
    std::vector<float> gradient(8);
    for (float& value : gradient) value = normal(random);
    sgd->Step(rate, gradient.data(), 8, row.data(), nullptr);
    for (int d = 0; d < 8; ++d) {
      const auto i = static_cast<std::size_t>(d);
      const float product = rate * gradient[i];
      expected[i] = expected[i] - product;
    }
    ASSERT_EQ(row, expected) << "step " << step;
  }
}

TEST(Adagrad, DividesByTheRootOfTheAccumulator) {
  const auto adagrad = Make({"adagrad", {}});
  EXPECT_FALSE(adagrad->linear());
  ASSERT_EQ(adagrad->SlotCount(3), 3u);
  std::vector<float> row = {1, -2, 0.5f}, slots(3);
  adagrad->InitializeSlots(3, slots.data());
  EXPECT_EQ(slots, (std::vector<float>{0.1f, 0.1f, 0.1f}));
  std::vector<double> exact(row.begin(), row.end());
  std::vector<double> sum(3, 0.1);
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (int step = 0; step < 200; ++step) {
    std::vector<float> gradient(3);
    for (float& value : gradient) value = normal(random);
    adagrad->Step(0.05f, gradient.data(), 3, row.data(), slots.data());
    double scale = 0;
    for (std::size_t d = 0; d < 3; ++d) {
      sum[d] += static_cast<double>(gradient[d]) * gradient[d];
      exact[d] -= 0.05 * gradient[d] / std::sqrt(sum[d] + 1e-7);
      scale += 1 / std::sqrt(sum[d] + 1e-7) / 3;
      ASSERT_NEAR(row[d], exact[d], 1e-4);
      ASSERT_NEAR(slots[d], sum[d], 1e-3);
    }
    ASSERT_NEAR(adagrad->StepScale(slots.data(), 3), scale, 1e-5);
  }
}

TEST(Adagrad, TakesItsParameters) {
  const auto adagrad = Make(
      {"adagrad", {{"initial_accumulator_value", 3}, {"epsilon", 1}}});
  std::vector<float> row = {10}, slots(1);
  adagrad->InitializeSlots(1, slots.data());
  const float gradient = 0;
  EXPECT_EQ(adagrad->StepScale(slots.data(), 1), 0.5f);
  adagrad->Step(1, &gradient, 1, row.data(), slots.data());
  EXPECT_EQ(row[0], 10);
  const float large = 2;
  adagrad->Step(1, &large, 1, row.data(), slots.data());
  EXPECT_EQ(slots[0], 7);
  EXPECT_EQ(row[0], 10.0f - 2.0f / std::sqrt(8.0f));
}

TEST(Optimizer, RefusesUnknownNamesAndParameters) {
  ExpectRefused({"adamw", {}}, "adamw");
  ExpectRefused({"adamw", {}},
                "sgd, momentum, adagrad, rowwise_adagrad, lazy_adam, ftrl");
  ExpectRefused({"sgd", {{"momentum", 0.9}}}, "momentum");
  ExpectRefused({"adagrad", {{"initial_accumulator_value", -1}}},
                "at least 0");
  ExpectRefused({"adagrad", {{"epsilon", 0}}}, "more than 0");
  ExpectRefused({"adagrad", {{"epsilon", -1}}}, "more than 0");
}

}  // namespace
}  // namespace het
