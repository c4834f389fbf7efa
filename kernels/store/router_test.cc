// Router: every id has one shard, shards get equal shares, and another number
// of shards moves whole partitions.

#include "kernels/store/router.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace het {
namespace {

TEST(Router, PlacesEveryIdOnAShard) {
  for (const std::size_t shards : {std::size_t{1}, std::size_t{2},
                                   std::size_t{3}, std::size_t{7},
                                   std::size_t{kPartitions}}) {
    const Router router(shards);
    for (const RowId id : {std::numeric_limits<RowId>::min(), RowId{-1},
                           RowId{0}, RowId{1},
                           std::numeric_limits<RowId>::max()}) {
      EXPECT_LT(router.ShardOf(id), shards);
    }
  }
}

// Placement is part of what a restarted cluster finds again.
TEST(Router, PartitionsAreFixedForEver) {
  EXPECT_EQ(Router::PartitionOf(0), 0u);
  EXPECT_EQ(Router::PartitionOf(1), 1509u);
  EXPECT_EQ(Router::PartitionOf(-1), 3451u);
  EXPECT_EQ(Router::PartitionOf((RowId{1} << 53) + 1), 1706u);
}

TEST(Router, SharesOfShardsAreEqualForConsecutiveIds) {
  for (const std::size_t shards : {2, 3, 7}) {
    const Router router(shards);
    std::vector<int> rows(shards);
    constexpr int kRows = 100000;
    for (RowId id = 0; id < kRows; ++id) ++rows[router.ShardOf(id)];
    for (const int count : rows) {
      EXPECT_NEAR(count, kRows / static_cast<double>(shards),
                  0.05 * kRows / static_cast<double>(shards));
    }
  }
}

TEST(Router, PartitionsAreDealtInContiguousEqualRuns) {
  for (const std::size_t shards : {1, 3, 7, 4096}) {
    const Router router(shards);
    std::vector<std::size_t> sizes(shards);
    std::size_t last = 0;
    for (std::uint64_t p = 0; p < kPartitions; ++p) {
      const std::size_t shard = router.ShardOfPartition(p);
      ASSERT_TRUE(shard == last || shard == last + 1);
      last = shard;
      ++sizes[shard];
    }
    EXPECT_EQ(last, shards - 1);
    for (const std::size_t size : sizes) {
      EXPECT_GE(size, kPartitions / shards);
      EXPECT_LE(size, kPartitions / shards + 1);
    }
  }
}

}  // namespace
}  // namespace het
