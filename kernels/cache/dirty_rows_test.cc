// DirtyRows: what is noted is due in time, and not much before.

#include "kernels/cache/dirty_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

namespace het {
namespace {

using Entry = DirtyRows::Entry;

// Entries become dirty and clean at random, one commit after the other; visits
// happen at every commit. Returns the ages at which entries were due.
std::map<std::int64_t, int> AgesWhenDue(std::int64_t most, Entry entries,
                                        std::int64_t commits,
                                        std::uint64_t seed) {
  std::mt19937_64 random(seed);
  DirtyRows dirty(most);
  struct State {
    std::uint16_t since;
    std::int64_t commit;
  };
  std::map<Entry, State> states;
  std::map<std::int64_t, int> ages;
  for (std::int64_t commit = 1; commit <= commits; ++commit) {
    for (int i = 0; i < 5; ++i) {
      const auto entry = static_cast<Entry>(random() % entries);
      if (random() % 4 == 0) {
        states.erase(entry);  // pushed for another reason
      } else if (states.emplace(entry, State{dirty.Since(commit), commit})
                     .second) {
        dirty.Note(entry);
      }
    }
    dirty.Visit(commit, [&](Entry entry) {
      const auto state = states.find(entry);
      if (state == states.end()) return false;
      if (!dirty.IsDue(state->second.since, commit)) return true;
      ++ages[commit - state->second.commit];
      states.erase(state);
      return false;
    });
    for (const auto& [entry, state] : states) {
      EXPECT_LT(commit - state.commit, most)
          << "entry " << entry << " at commit " << commit;
    }
  }
  return ages;
}

TEST(DirtyRows, AreDueInTimeAndNotMuchBefore) {
  for (const std::int64_t most : {1, 2, 3, 8, 20, 100, 1010}) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      SCOPED_TRACE("most " + std::to_string(most) + ", seed " +
                   std::to_string(seed));
      const auto ages = AgesWhenDue(most, 2000, 4000, seed);
      ASSERT_FALSE(ages.empty());
      EXPECT_LE(ages.rbegin()->first, most);
      EXPECT_GE(ages.begin()->first,
                most - std::min<std::int64_t>(
                           most / 4, std::max<std::int64_t>(most / 16, 16)) - 1);
    }
  }
}

TEST(DirtyRows, AreDueInTimeBeyondTheDigitsThatAnEntryKeeps) {
  const auto ages = AgesWhenDue(3, 50, 200'000, 1);
  EXPECT_LE(ages.rbegin()->first, 3);
}

TEST(DirtyRows, AVisitCostsAShareOfTheEntries) {
  DirtyRows dirty(800);
  for (Entry entry = 0; entry < 100'000; ++entry) dirty.Note(entry);
  int visited = 0;
  dirty.Visit(1, [&](Entry) { return ++visited, true; });
  EXPECT_LE(visited, 100'000 / 25 + 2 * 64);
  EXPECT_GT(visited, 0);
  EXPECT_LT(dirty.memory_bytes(), 100'000 / 7);
}

TEST(DirtyRows, MayBeDirtyForEver) {
  EXPECT_FALSE(DirtyRows(kUnboundedStaleness).bounded());
  EXPECT_TRUE(DirtyRows(1).bounded());
}

}  // namespace
}  // namespace het
