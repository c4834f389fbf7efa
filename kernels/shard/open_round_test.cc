// OpenRound: sums per row, found by row, gone with the end of the round.

#include "kernels/shard/open_round.h"

#include <gtest/gtest.h>

namespace het {
namespace {

TEST(OpenRound, SumsWhatIsPushedToEachRow) {
  OpenRound round;
  constexpr std::uint32_t kRows = 1000;
  EXPECT_EQ(round.number(), 0u);
  for (std::uint64_t number = 1; number <= 3; ++number) {
    round.Begin(number);
    EXPECT_EQ(round.number(), number);
    EXPECT_EQ(round.Find(0), OpenRound::kNone);
    for (int worker = 1; worker <= 3; ++worker) {
      for (std::uint32_t i = 0; i < kRows; ++i) {
        const float gradient[2] = {static_cast<float>(i),
                                   static_cast<float>(worker)};
        round.Add(i, worker == 2 ? 9 : 4, worker == 1 ? 0.5f : 0.25f,
                  gradient, 2);
      }
    }
    ASSERT_EQ(round.size(), kRows);
    for (std::uint32_t i = 0; i < kRows; ++i) {
      const std::size_t place = round.Find(i);
      ASSERT_LT(place, round.size());
      EXPECT_EQ(round[place].row, i);
      EXPECT_EQ(round[place].clock, 9);
      EXPECT_EQ(round[place].learning_rate, 0.5f);
      EXPECT_EQ(round.sum(place, 2)[0], 3 * static_cast<float>(i));
      EXPECT_EQ(round.sum(place, 2)[1], 6);
    }
    round.End();
    EXPECT_EQ(round.number(), 0u);
    EXPECT_EQ(round.size(), 0u);
  }
}

}  // namespace
}  // namespace het
