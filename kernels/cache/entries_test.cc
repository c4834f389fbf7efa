// Entries and UniqueIds against maps of the standard library.

#include "kernels/cache/entries.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "kernels/base/hash.h"
#include "kernels/cache/unique_ids.h"

namespace het {
namespace {

TEST(Entries, FindsWhatWasInsertedAndNotErased) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    Entries entries(3, 100);
    std::map<RowId, Entries::Entry> model;
    for (int i = 0; i < 20000; ++i) {
      // Neighbours and ids far apart, so that probing sequences meet.
      const RowId id = static_cast<RowId>(random() % 300) *
                       (random() % 2 == 0 ? 1 : (RowId{1} << 40));
      const auto known = model.find(id);
      ASSERT_EQ(entries.Find(id),
                known == model.end() ? Entries::kNone : known->second);
      if (known == model.end()) {
        const Entries::Entry entry = entries.Insert(id);
        ASSERT_EQ(entries[entry].id, id);
        ASSERT_TRUE(entries[entry].occupied);
        ASSERT_EQ(entries[entry].pending_commits, 0u);
        for (int d = 0; d < 3; ++d) {
          ASSERT_EQ(entries.pending(entry)[d], 0.0f);
          entries.pending(entry)[d] = 7;
          entries.values(entry)[d] = static_cast<float>(id % 1000 + d);
        }
        model[id] = entry;
      } else if (random() % 2 == 0) {
        for (int d = 0; d < 3; ++d) {
          ASSERT_EQ(entries.values(known->second)[d],
                    static_cast<float>(id % 1000 + d));
        }
        entries.Erase(known->second);
        model.erase(known);
      }
      ASSERT_EQ(entries.size(), model.size());
    }
    for (const auto& [id, entry] : model) ASSERT_EQ(entries.Find(id), entry);
  }
}

TEST(Entries, UsesNumbersAndMemoryAgain) {
  Entries entries(8, 100);
  for (RowId id = 0; id < 1000; ++id) entries.Insert(id);
  const Entries::Entry end = entries.end();
  const std::int64_t bytes = entries.memory_bytes();
  for (int round = 0; round < 20; ++round) {
    for (RowId id = 0; id < 1000; ++id) {
      entries.Erase(entries.Find(1000 * round + id));
    }
    EXPECT_EQ(entries.size(), 0u);
    for (RowId id = 0; id < 1000; ++id) entries.Insert(1000 * (round + 1) + id);
  }
  EXPECT_EQ(entries.end(), end);
  EXPECT_LT(entries.memory_bytes(), 2 * bytes);
}

TEST(Entries, ValuesDoNotMoveWhileItGrows) {
  Entries entries(2, 100);
  const Entries::Entry first = entries.Insert(1);
  float* const values = entries.values(first);
  for (RowId id = 2; id < 5000; ++id) entries.Insert(id);
  EXPECT_EQ(entries.values(first), values);
}

// With as many entries as it was made for, also in the last huge page of each table.
TEST(Entries, MemoryIsThereForWhatIsInside) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory is resident, too";
#endif
  const auto resident = [] {
    std::int64_t all = 0, pages = 0;
    std::ifstream("/proc/self/statm") >> all >> pages;
    return pages * sysconf(_SC_PAGESIZE);
  };
  for (const std::int64_t rows : {55'000, 150'000, 300'000, 600'000}) {
    SCOPED_TRACE(testing::Message() << rows << " rows");
    const std::int64_t before = resident();
    Entries entries(16, rows);
    for (RowId id = 0; id < rows; ++id) {
      std::fill_n(entries.values(entries.Insert(id)), 16, 1.0f);
    }
    const std::int64_t beside = resident() - before - entries.memory_bytes();
    EXPECT_LT(beside, std::int64_t{512} << 10);
    for (RowId id = rows; id < 2 * rows; ++id) {
      entries.values(entries.Insert(id))[0] = 2.0f;
    }
    EXPECT_EQ(entries.values(entries.Find(rows - 1))[15], 1.0f);
  }
}

TEST(UniqueIds, KeepsTheOrderOfFirstOccurrence) {
  UniqueIds unique;
  unique.Begin(6);
  unique.Add(std::vector<RowId>{5, 3, 5, -1});
  unique.Add(std::vector<RowId>{3, 5});
  unique.Number();
  EXPECT_EQ(unique.ids(), (std::vector<RowId>{5, 3, -1}));
  EXPECT_EQ(unique.inverse(), (std::vector<std::uint32_t>{0, 1, 0, 2, 1, 0}));
  EXPECT_TRUE(unique.IsOf(std::vector<RowId>{5, 3, 5, -1, 3, 5}));
  EXPECT_FALSE(unique.IsOf(std::vector<RowId>{5, 3, 5, -1, 3, 3}));
  EXPECT_FALSE(unique.IsOf(std::vector<RowId>{5, 3, 5, -1, 3}));
  unique.Invert();
  EXPECT_EQ(unique.positions(), (std::vector<std::uint32_t>{0, 2, 5, 1, 4, 3}));
  EXPECT_EQ(unique.begin(1), 3u);
  EXPECT_EQ(unique.begin(2), 5u);
  EXPECT_EQ(unique.begin(3), 6u);
  unique.Begin(0);
  unique.Number();
  EXPECT_TRUE(unique.ids().empty());
  EXPECT_TRUE(unique.inverse().empty());
}

TEST(UniqueIds, IsExactOverTheWholeRange) {
  const std::vector<RowId> ids = {
      std::numeric_limits<RowId>::min(), std::numeric_limits<RowId>::max(),
      (RowId{1} << 53), (RowId{1} << 53) + 1, (1 << 24), (1 << 24) + 1, 0, -1};
  UniqueIds unique;
  unique.Begin(ids.size());
  unique.Add(ids);
  unique.Number();
  EXPECT_EQ(unique.ids(), ids);
}

TEST(UniqueIds, RebuildsEveryBatch) {
  UniqueIds unique;
  std::mt19937_64 random(1);
  for (int batch = 0; batch < 300; ++batch) {
    std::vector<RowId> ids(random() % 500);
    for (RowId& id : ids) id = static_cast<RowId>(random() % (1 + random() % 90));
    unique.Begin(ids.size());
    unique.Add(ids);
    unique.Number();
    ASSERT_EQ(unique.inverse().size(), ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ASSERT_EQ(unique.ids()[unique.inverse()[i]], ids[i]);
    }
    ASSERT_EQ(unique.ids().size(), (std::set<RowId>(ids.begin(), ids.end()))
                                       .size());
  }
}

// As one after the other would, whatever the threads do.
TEST(UniqueIds, IsTheSameWithManyThreads) {
  Executor executor;
  std::vector<std::thread> threads;
  executor.schedule = [&](std::function<void()> work) {
    threads.emplace_back(std::move(work));
  };
  std::mt19937_64 random(1);
  UniqueIds one, many;
  for (const std::size_t size : {8191, 20000, 100000}) {
    for (const RowId range : {1, 300, 1000000}) {
      SCOPED_TRACE(testing::Message() << size << " ids of " << range);
      std::vector<RowId> ids(size);
      for (RowId& id : ids) {
        id = static_cast<RowId>(random() % static_cast<std::uint64_t>(range));
      }
      one.Begin(size);
      one.Add(ids);
      one.Number();
      one.Invert();
      for (const std::size_t count : {2, 3, 40}) {
        executor.threads = count;
        many.Begin(size);
        many.Add({ids.data(), size / 3});
        many.Add({ids.data() + size / 3, size - size / 3});
        many.Number(executor);
        many.Invert(executor);
        EXPECT_EQ(many.ids(), one.ids());
        EXPECT_EQ(many.inverse(), one.inverse());
        EXPECT_EQ(many.positions(), one.positions());
        for (std::size_t u = 0; u <= one.ids().size(); ++u) {
          ASSERT_EQ(many.begin(u), one.begin(u));
        }
      }
    }
  }
  // All of one share.
  std::vector<RowId> ids;
  for (RowId id = 0; ids.size() < 40000; ++id) {
    if (Mix64(static_cast<std::uint64_t>(id)) >> 62 == 0) ids.push_back(id);
  }
  executor.threads = 4;
  many.Begin(ids.size());
  many.Add(ids);
  many.Number(executor);
  EXPECT_EQ(many.ids(), ids);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace het
