// EntryIndex against a map of the standard library, and how little it takes.

#include "kernels/cache/entry_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "kernels/base/hash.h"

namespace het {
namespace {

using Entry = EntryIndex::Entry;

// Hashes of which many share their lower half, so that lines overflow, and some
// the upper half as well, so that marks look alike.
std::uint64_t CrowdedHash(std::uint64_t key) {
  const std::uint64_t low = Mix64(key % 5) & 0xffffffff;
  return Mix64(key / 2) << 32 | low;
}

TEST(EntryIndex, FindsWhatWasInsertedAndNotErasedInCrowdedLines) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    EntryIndex index;
    index.Reset(300);
    std::map<std::uint64_t, Entry> model;
    std::vector<std::uint64_t> key_of(300);
    std::vector<Entry> free;
    for (Entry entry = 0; entry < 300; ++entry) free.push_back(entry);
    for (int i = 0; i < 20000; ++i) {
      const std::uint64_t key = random() % 600;
      const auto is_it = [&](Entry entry) { return key_of[entry] == key; };
      const auto known = model.find(key);
      ASSERT_EQ(index.Find(CrowdedHash(key), is_it),
                known == model.end() ? EntryIndex::kNone : known->second);
      if (known != model.end()) {
        index.Erase(CrowdedHash(key), known->second);
        free.push_back(known->second);
        key_of[known->second] = ~std::uint64_t{0};
        model.erase(known);
      } else if (!free.empty()) {
        const Entry entry = free.back();
        free.pop_back();
        key_of[entry] = key;
        index.Insert(CrowdedHash(key), entry);
        model[key] = entry;
      }
    }
    ASSERT_GT(model.size(), 200u);
  }
}

TEST(EntryIndex, IsEmptyBeforeAndAfterReset) {
  const auto any = [](Entry) { return true; };
  EntryIndex index;
  index.Prefetch(7);
  EXPECT_EQ(index.room(), 0u);
  EXPECT_EQ(index.Find(7, any), EntryIndex::kNone);
  EXPECT_EQ(index.Likely(7), EntryIndex::kNone);
  index.Reset(100);
  EXPECT_GE(index.room(), 100u);
  index.Insert(7, 99);
  EXPECT_EQ(index.Find(7, any), 99u);
  EXPECT_EQ(index.Likely(7), 99u);
  index.Reset(100);
  EXPECT_EQ(index.Find(7, any), EntryIndex::kNone);
}

TEST(EntryIndex, HoldsTheLargestEntryThatItHasRoomFor) {
  // Around the sizes at which a mark takes one more bit.
  for (std::size_t size = 32700; size < 32800; ++size) {
    EntryIndex index;
    index.Reset(size);
    const auto last = static_cast<Entry>(index.room() - 1);
    index.Insert(Mix64(size), last);
    ASSERT_EQ(index.Likely(Mix64(size)), last) << size;
  }
}

TEST(EntryIndex, TakesFiveBytesForAnEntryWhenFull) {
  EntryIndex index;
  index.Reset(100'000);
  EXPECT_LT(static_cast<double>(index.memory_bytes()) /
                static_cast<double>(index.room()),
            5.0);
}

}  // namespace
}  // namespace het
