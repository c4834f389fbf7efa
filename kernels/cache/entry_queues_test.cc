// EntryQueues against queues of the standard library.

#include "kernels/cache/entry_queues.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace het {
namespace {

using Entry = EntryQueues::Entry;

class Model {
 public:
  explicit Model(std::size_t queues) : queues_(queues) {}

  std::deque<Entry>& operator[](std::size_t queue) { return queues_[queue]; }
  void MoveAll(std::size_t from, std::size_t to) {
    if (from == to) return;
    std::deque<Entry>& behind = queues_[to];
    behind.insert(behind.end(), queues_[from].begin(), queues_[from].end());
    queues_[from].clear();
  }
  void DropMultiplesOf(Entry divisor) {
    for (std::deque<Entry>& queue : queues_) {
      queue.erase(std::remove_if(
                      queue.begin(), queue.end(),
                      [&](Entry entry) { return entry % divisor == 0; }),
                  queue.end());
    }
  }
  std::size_t size() const {
    std::size_t sum = 0;
    for (const std::deque<Entry>& queue : queues_) sum += queue.size();
    return sum;
  }

 private:
  std::vector<std::deque<Entry>> queues_;
};

TEST(EntryQueues, FollowTheirModel) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    constexpr std::uint32_t kQueues = 4;
    EntryQueues queues(kQueues);
    Model model(kQueues);
    for (int i = 0; i < 3000; ++i) {
      const auto queue = static_cast<std::uint32_t>(random() % kQueues);
      const std::size_t what = random() % 100;
      if (what < 50) {
        for (std::size_t n = random() % 100; n > 0; --n) {
          const auto entry = static_cast<Entry>(random() % 1000);
          queues.Push(queue, entry);
          model[queue].push_back(entry);
        }
      } else if (what < 97) {
        for (std::size_t n = random() % 100; n > 0; --n) {
          ASSERT_EQ(queues.empty(queue), model[queue].empty());
          if (model[queue].empty()) break;
          ASSERT_EQ(queues.Pop(queue), model[queue].front());
          model[queue].pop_front();
        }
      } else if (what < 99) {
        const auto to = static_cast<std::uint32_t>(random() % kQueues);
        queues.MoveAll(queue, to);
        model.MoveAll(queue, to);
      } else {
        const auto divisor = static_cast<Entry>(1 + random() % 5);
        queues.Sweep(
            [&](std::uint32_t, Entry entry) { return entry % divisor != 0; });
        model.DropMultiplesOf(divisor);
      }
      ASSERT_EQ(queues.size(), model.size());
    }
  }
}

TEST(EntryQueues, SweepSaysInWhichQueueAnEntryStands) {
  EntryQueues queues(3);
  queues.Push(0, 10);
  queues.Push(2, 12);
  queues.Push(2, 32);
  queues.Sweep([](std::uint32_t queue, Entry entry) {
    EXPECT_EQ(entry % 10, queue);
    return true;
  });
  EXPECT_EQ(queues.size(), 3u);
}

TEST(EntryQueues, WhatSoonComesIsInTheQueue) {
  EntryQueues queues(1);
  for (Entry entry = 0; entry < 5; ++entry) queues.Push(0, entry);
  EXPECT_EQ(queues.Soon(0), 4u);
  for (Entry entry = 5; entry < 200; ++entry) queues.Push(0, entry);
  EXPECT_EQ(queues.Soon(0), 8u);
  for (Entry entry = 0; entry < 60; ++entry) ASSERT_EQ(queues.Pop(0), entry);
  EXPECT_EQ(queues.Soon(0), 61u);  // the last of its block
}

// A queue that goes round and round needs no more than stands in it, nor does a
// sweep.
TEST(EntryQueues, BlocksAreUsedAgain) {
  EntryQueues queues(1);
  for (Entry entry = 0; entry < 10000; ++entry) queues.Push(0, entry);
  const std::int64_t before = queues.memory_bytes();
  EXPECT_LT(before, 10000 * 9 / 2);
  for (int i = 0; i < 100000; ++i) queues.Push(0, queues.Pop(0));
  queues.Sweep([](std::uint32_t, Entry) { return true; });
  EXPECT_LE(queues.memory_bytes(), before + 512);
  EXPECT_EQ(queues.size(), 10000u);
}

}  // namespace
}  // namespace het
