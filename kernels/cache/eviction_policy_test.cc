// Eviction policies against simple models of what their headers say.

#include "kernels/cache/eviction_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace het {
namespace {

using Entry = EvictionPolicy::Entry;

std::unique_ptr<EvictionPolicy> Make(const std::string& name,
                                     std::int64_t capacity) {
  auto policy = CreateEvictionPolicy(name, capacity);
  EXPECT_TRUE(policy.ok()) << policy.status().ToString();
  return std::move(policy).Take();
}

// Now in one way, now in the other: they come to the same.
void Use(EvictionPolicy& policy, Entry entry, int times = 1) {
  for (int i = 0; i < times; ++i) {
    const Span<const Entry> used(&entry, 1);
    if ((entry + static_cast<Entry>(i)) % 2 == 0) {
      policy.Use(used);
      continue;
    }
    std::vector<Entry> rest;
    policy.UseApart(used, &rest);
    policy.Use(rest, static_cast<std::int64_t>(1 - rest.size()));
  }
}

// The next one goes.
Entry Evict(EvictionPolicy& policy) {
  const Entry entry = policy.Next();
  policy.Forget(entry);
  return entry;
}

// The model of LRU and LFU: a list of entries with counts, oldest first.
class Model {
 public:
  Model(bool counts, std::int64_t capacity)
      : counts_(counts), rows_(capacity) {}

  void Use(Entry entry) {
    Remove(entry);
    int& count = history_[entry];
    if (counts_) count = std::min(count + 1, 63);
    inside_.push_back({entry, count});
    rows_ = std::max(rows_, std::int64_t{entry} + 1);
    if (counts_ && ++uses_ >= 10 * rows_) {
      uses_ = 0;
      for (auto& [known, value] : history_) value /= 2;
      for (Listed& listed : inside_) listed.count /= 2;
    }
  }
  void Remove(Entry entry) {
    inside_.erase(
        std::remove_if(
            inside_.begin(), inside_.end(),
            [&](const Listed& listed) { return listed.entry == entry; }),
        inside_.end());
  }
  // May `entry` be the one to go? LRU leaves no choice, LFU among equals.
  bool MayEvict(Entry entry) const {
    int least = inside_.front().count;
    for (const Listed& listed : inside_) least = std::min(least, listed.count);
    for (const Listed& listed : inside_) {
      if (listed.entry == entry) return listed.count == least;
      if (!counts_) return false;  // an older one is there
    }
    return false;
  }
  void Forget(Entry entry) {
    Remove(entry);
    history_.erase(entry);
  }

 private:
  struct Listed {
    Entry entry;
    int count;
  };
  const bool counts_;
  std::int64_t rows_;  // of capacity, or entries seen if these are more
  std::int64_t uses_ = 0;
  std::map<Entry, int> history_;
  std::vector<Listed> inside_;
};

void CompareWithModel(const std::string& name, std::uint64_t seed) {
  SCOPED_TRACE(name + " seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto capacity = static_cast<std::int64_t>(1 + random() % 30);
  const auto policy = Make(name, capacity);
  Model model(name == "lfu", capacity);
  std::set<Entry> inside, outside;
  Entry next = 0;
  const auto pick = [&](const std::set<Entry>& from) {
    return *std::next(from.begin(),
                      static_cast<std::ptrdiff_t>(random() % from.size()));
  };
  for (int i = 0; i < 5000; ++i) {
    const std::size_t what = random() % 10;
    if (what < 2 && inside.size() + outside.size() < 60) {
      outside.insert(next++);
    } else if (what < 5 && !outside.empty()) {
      const Entry entry = pick(outside);
      outside.erase(entry);
      inside.insert(entry);
      Use(*policy, entry);
      model.Use(entry);
    } else if (what < 7 && !inside.empty()) {
      const Entry entry = pick(inside);
      Use(*policy, entry);
      model.Use(entry);
    } else if (what < 9 && !inside.empty()) {
      const Entry entry = policy->Next();
      ASSERT_TRUE(model.MayEvict(entry)) << entry << ", step " << i;
      inside.erase(entry);
      outside.insert(entry);
      if (what == 7) {  // in use: passed over
        model.Remove(entry);
      } else {  // goes; the number is used again
        policy->Forget(entry);
        model.Forget(entry);
      }
    } else if (!inside.empty() || !outside.empty()) {
      const bool from_inside =
          outside.empty() || (!inside.empty() && random() % 2 == 0);
      const Entry entry = pick(from_inside ? inside : outside);
      inside.erase(entry);
      outside.insert(entry);
      policy->Forget(entry);
      model.Forget(entry);
    }
  }
}

TEST(EvictionPolicy, LruFollowsItsModel) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) CompareWithModel("lru", seed);
}

TEST(EvictionPolicy, LfuFollowsItsModel) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) CompareWithModel("lfu", seed);
}

TEST(EvictionPolicy, LfuKeepsWhatIsUsedOften) {
  const auto policy = Make("lfu", 1000);
  for (Entry entry = 0; entry < 5; ++entry) Use(*policy, entry);
  Use(*policy, 2, 5);
  Use(*policy, 0, 3);
  Use(*policy, 4, 2);
  Use(*policy, 1, 1);
  std::vector<Entry> evicted;
  for (int i = 0; i < 5; ++i) evicted.push_back(Evict(*policy));
  EXPECT_EQ(evicted, (std::vector<Entry>{3, 1, 4, 0, 2}));
}

TEST(EvictionPolicy, LfuForgetsYesterdaysHotRows) {
  const auto policy = Make("lfu", 10);
  Use(*policy, 0);
  Use(*policy, 0, 50);  // hot long ago
  for (Entry entry = 1; entry < 10; ++entry) Use(*policy, entry);
  for (int round = 0; round < 100; ++round) {
    for (Entry entry = 1; entry < 10; ++entry) Use(*policy, entry);
  }
  EXPECT_EQ(Evict(*policy), 0u);
}

TEST(EvictionPolicy, LightLfuKeepsHotRowsBeforeListedOnes) {
  const auto policy = Make("light_lfu", 1000);
  Use(*policy, 0);
  Use(*policy, 0, 30);  // hot
  for (Entry entry = 1; entry < 6; ++entry) {
    Use(*policy, entry);
    Use(*policy, entry, 10);  // used often, not yet hot
  }
  for (int i = 0; i < 5; ++i) EXPECT_NE(Evict(*policy), 0u);
  EXPECT_EQ(Evict(*policy), 0u);
}

TEST(EvictionPolicy, LightLfuHotRowsCoolWhenTheHotSetMoves) {
  constexpr std::int64_t kCapacity = 20;
  const auto policy = Make("light_lfu", kCapacity);
  for (Entry entry = 0; entry < 20; ++entry) {
    Use(*policy, entry);
    Use(*policy, entry, 20);
  }
  // From now on the first ten are used no more.
  for (int round = 0; round < 200; ++round) {
    for (Entry entry = 10; entry < 20; ++entry) Use(*policy, entry);
  }
  std::set<Entry> evicted;
  for (int i = 0; i < 10; ++i) evicted.insert(Evict(*policy));
  for (Entry entry = 0; entry < 10; ++entry) {
    EXPECT_EQ(evicted.count(entry), 1u) << entry;
  }
}

TEST(EvictionPolicy, LightLfuHotRowsStayWhileTheyAreUsed) {
  const auto policy = Make("light_lfu", 4);
  Use(*policy, 0);
  Use(*policy, 0, 20);
  for (Entry entry = 1; entry < 200; ++entry) {
    Use(*policy, entry);
    Use(*policy, 0);
    EXPECT_NE(Evict(*policy), 0u) << entry;
  }
}

// Whatever is done: every entry inside comes out exactly once.
TEST(EvictionPolicy, EveryEntryInsideIsEvictedOnce) {
  for (const char* name : {"lru", "lfu", "light_lfu"}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      SCOPED_TRACE(std::string(name) + " seed " + std::to_string(seed));
      std::mt19937_64 random(seed);
      const auto policy =
          Make(name, static_cast<std::int64_t>(random() % 8));
      std::set<Entry> inside;
      for (int i = 0; i < 4000; ++i) {
        const auto entry = static_cast<Entry>(random() % (1 + random() % 30));
        const std::size_t what = random() % 12;
        if (what == 0 && !inside.empty()) {
          ASSERT_EQ(inside.erase(Evict(*policy)), 1u);
        } else if (what == 1 && !inside.empty()) {
          ASSERT_EQ(inside.erase(policy->Next()), 1u);
        } else if (what == 2) {
          policy->Forget(entry);
          inside.erase(entry);
        } else {
          Use(*policy, entry);
          inside.insert(entry);
        }
      }
      while (!inside.empty()) ASSERT_EQ(inside.erase(Evict(*policy)), 1u);
    }
  }
}

// What has been forgotten, or used again, leaves nothing behind for ever; what is
// inside comes out, each once and with LFU in the order of uses.
TEST(EvictionPolicy, MemoryIsThatOfItsEntries) {
  constexpr Entry kEntries = 3000;
  for (const char* name : {"lru", "lfu", "light_lfu"}) {
    SCOPED_TRACE(name);
    const auto policy = Make(name, kEntries);
    std::map<Entry, int> uses;  // of those inside, since they were new
    for (int round = 0; round < 31; ++round) {
      for (Entry entry = 0; entry < kEntries; ++entry) {
        const int times = 1 + static_cast<int>(entry) % 3;
        Use(*policy, entry, times);
        uses[entry] += times;
      }
      for (Entry entry = round % 2; entry < kEntries; entry += 2) {
        policy->Forget(entry);
        uses.erase(entry);
      }
    }
    EXPECT_LT(policy->memory_bytes(), kEntries * 13 + 16384);
    int last = 0;
    while (!uses.empty()) {
      const Entry entry = Evict(*policy);
      ASSERT_EQ(uses.count(entry), 1u) << entry;
      if (std::string(name) == "lfu") {
        EXPECT_GE(uses[entry], last) << entry;
        last = uses[entry];
      }
      uses.erase(entry);
    }
  }
}

// What the threads of a step do.
TEST(EvictionPolicy, ThreadsCountTheUsesOfTheirOwnEntries) {
  constexpr Entry kEntries = 4000;
  constexpr int kThreads = 4;
  for (const char* name : {"lfu", "light_lfu"}) {
    SCOPED_TRACE(name);
    const auto policy = Make(name, kEntries);
    for (Entry entry = 0; entry < kEntries; ++entry) Use(*policy, entry);
    for (int round = 0; round < 5; ++round) {
      std::vector<std::vector<Entry>> rests(kThreads);
      std::vector<std::thread> threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
          std::vector<Entry> own;
          for (Entry entry = static_cast<Entry>(t); entry < kEntries / 2;
               entry += kThreads) {
            own.push_back(entry);
          }
          policy->UseApart(own, &rests[static_cast<std::size_t>(t)]);
        });
      }
      for (std::thread& thread : threads) thread.join();
      for (const std::vector<Entry>& rest : rests) EXPECT_TRUE(rest.empty());
    }
    for (Entry i = 0; i < kEntries / 2; ++i) {
      EXPECT_GE(Evict(*policy), kEntries / 2);
    }
  }
}

TEST(EvictionPolicy, LruBearsARowThatIsUsedAlone) {
  const auto policy = Make("lru", 100000);
  for (Entry entry = 0; entry < 100000; ++entry) Use(*policy, entry);
  Use(*policy, 0, 140000);
  for (Entry entry = 1; entry < 100000; ++entry) {
    ASSERT_EQ(Evict(*policy), entry);
  }
  EXPECT_EQ(Evict(*policy), 0u);
}

TEST(EvictionPolicy, RefusesAnUnknownName) {
  const Status status = CreateEvictionPolicy("fifo", 1).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "unknown eviction policy 'fifo'; known are: lru, lfu, light_lfu");
}

TEST(EvictionPolicy, TheLargestCapacityForgetsNothing) {
  for (const char* name : {"lfu", "light_lfu"}) {
    const auto policy = Make(name, std::numeric_limits<std::int64_t>::max() / 2);
    Use(*policy, 0);
    Use(*policy, 1);
    Use(*policy, 0, 5);
    Use(*policy, 1, 3);
    EXPECT_EQ(Evict(*policy), 1u) << name;
  }
}

TEST(EvictionPolicy, ASmallCapacityWithLargeBatchesDoesNotForgetAtOnce) {
  for (const char* name : {"lfu", "light_lfu"}) {
    const auto policy = Make(name, 1);
    for (Entry entry = 0; entry < 100; ++entry) Use(*policy, entry);
    Use(*policy, 7, 3);
    for (Entry entry = 0; entry < 100; ++entry) Use(*policy, entry);
    for (int i = 0; i < 99; ++i) EXPECT_NE(Evict(*policy), 7u) << name;
  }
}

}  // namespace
}  // namespace het
