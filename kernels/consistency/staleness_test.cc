// The two validity conditions and the arithmetic of clocks.

#include "kernels/consistency/staleness.h"

#include <gtest/gtest.h>

namespace het {
namespace {

constexpr Clock kEnd = kUnboundedStaleness;

TEST(Staleness, WriteConditionHoldsUpToStalenessOwnCommits) {
  for (const Staleness s : {0, 1, 5}) {
    CopyClocks clocks = ClocksAfterFetch(100, 0);
    for (Staleness commits = 0; commits <= s; ++commits) {
      EXPECT_TRUE(WithinWriteStaleness(clocks, s)) << "s=" << s;
      Tick(&clocks);
    }
    EXPECT_FALSE(WithinWriteStaleness(clocks, s)) << "s=" << s;
  }
}

TEST(Staleness, ReadConditionHoldsUpToStalenessAhead) {
  for (const Staleness s : {0, 1, 5}) {
    EXPECT_TRUE(WithinReadStaleness(10 + s, 10, s));
    EXPECT_FALSE(WithinReadStaleness(11 + s, 10, s));
    EXPECT_TRUE(WithinReadStaleness(0, 10, s));
  }
}

TEST(Staleness, UnboundedStalenessAcceptsEverything) {
  EXPECT_TRUE(WithinWriteStaleness({0, kEnd}, kUnboundedStaleness));
  EXPECT_TRUE(WithinReadStaleness(kEnd, 0, kUnboundedStaleness));
}

TEST(Staleness, AFetchSetsTheStartAndDoesPendingCommitsAgain) {
  const CopyClocks clocks = ClocksAfterFetch(7, 3);
  EXPECT_EQ(clocks.start, 7);
  EXPECT_EQ(clocks.current, 10);
}

TEST(Staleness, ATickMovesTheCurrentClockAlone) {
  CopyClocks clocks{4, 6};
  Tick(&clocks);
  EXPECT_EQ(clocks.start, 4);
  EXPECT_EQ(clocks.current, 7);
}

TEST(Staleness, APushTakesTheMaximum) {
  EXPECT_EQ(ClockAfterPush(5, 3), 5);
  EXPECT_EQ(ClockAfterPush(3, 5), 5);
  EXPECT_EQ(ClockAfterPush(5, 5), 5);
}

TEST(Staleness, ClocksStopAtTheEndInsteadOfWrapping) {
  EXPECT_EQ(SaturatingAdd(kEnd, 1), kEnd);
  EXPECT_EQ(SaturatingAdd(1, kEnd), kEnd);
  EXPECT_EQ(SaturatingAdd(kEnd - 1, 1), kEnd);
  EXPECT_EQ(SaturatingAdd(2, 3), 5);
  CopyClocks clocks{kEnd, kEnd};
  Tick(&clocks);
  EXPECT_EQ(clocks.current, kEnd);
  EXPECT_EQ(ClocksAfterFetch(kEnd, 5).current, kEnd);
  EXPECT_TRUE(WithinWriteStaleness({kEnd - 1, kEnd}, 5));
  EXPECT_TRUE(WithinReadStaleness(kEnd, kEnd - 1, 5));
}

TEST(Staleness, AnAssignmentOutdatesEveryCopyMadeBefore) {
  for (const Staleness s : {0, 1, 5, 100}) {
    for (const Clock global : {0, 3, 1000}) {
      // A valid copy stands at most s + 1 commits behind its last read, and
      // that was made at c_s <= c_g.
      const Clock newest = global + s + 1;
      EXPECT_FALSE(
          WithinReadStaleness(ClockAfterAssign(global, s), newest, s));
    }
  }
  EXPECT_EQ(ClockAfterAssign(3, kUnboundedStaleness), 4);
  EXPECT_EQ(ClockAfterAssign(kEnd, 1), kEnd);
}

TEST(Staleness, LookaheadCountsTheCommitsBetween) {
  EXPECT_TRUE(WithinLookahead(0, 1));
  EXPECT_TRUE(WithinLookahead(1, 1));
  EXPECT_FALSE(WithinLookahead(2, 1));
  EXPECT_TRUE(WithinLookahead(2, 2));
}

}  // namespace
}  // namespace het
