// SnapshotMarks against two sets.

#include "kernels/shard/snapshot_marks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <set>

namespace het {
namespace {

TEST(SnapshotMarks, BeforeTheFirstCutNothingIsKept) {
  SnapshotMarks marks;
  EXPECT_FALSE(marks.cut_before());
  EXPECT_FALSE(marks.Touch(5));
  EXPECT_EQ(marks.TakeNext(), SnapshotMarks::kNone);
  EXPECT_EQ(marks.memory_bytes(), 0u);
}

TEST(SnapshotMarks, FollowTwoSets) {
  const std::uint64_t seed = 17;
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  SnapshotMarks marks;
  std::set<std::size_t> to_write, changed;
  std::size_t rows = 0;
  bool tracking = false;
  for (int step = 0; step < 20000; ++step) {
    const auto choice = random() % 100;
    if (choice == 0) {
      const bool all = !tracking || random() % 2 == 0;
      marks.Cut(rows, all);
      tracking = true;
      if (all) {
        to_write.clear();
        for (std::size_t i = 0; i < rows; ++i) to_write.insert(i);
      } else {
        to_write = changed;
      }
      changed.clear();
    } else if (choice == 1) {
      marks.Forget();
      to_write.clear();
    } else if (choice < 40) {
      const std::size_t next = marks.TakeNext();
      ASSERT_EQ(next, to_write.empty() ? SnapshotMarks::kNone
                                       : *to_write.begin());
      to_write.erase(next);
    } else {
      rows += random() % 3 == 0 ? 1 : 0;
      if (rows == 0) continue;
      const std::size_t number = random() % rows;
      ASSERT_EQ(marks.Touch(number), tracking && to_write.count(number) > 0);
      to_write.erase(number);
      if (tracking) changed.insert(number);
    }
  }
}

}  // namespace
}  // namespace het
