// WorkerOrder: one worker's exchanges run once each, in order, one at a time.

#include "kernels/shard/worker_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace het {
namespace {

class Record {
 public:
  WorkerOrder::Turn Turn(std::uint64_t number) {
    return {[this, number](bool repeated) {
              ran.push_back(std::to_string(number) + (repeated ? "r" : ""));
              if (during) during(number);
            },
            [this, number](Status status) {
              ran.push_back(std::to_string(number) + " " +
                            StatusCodeName(status.code()));
              message = status.message();
            }};
  }
  std::vector<std::string> Take() { return std::exchange(ran, {}); }

  std::vector<std::string> ran;
  std::string message;
  std::function<void(std::uint64_t)> during;
};

using Ran = std::vector<std::string>;

TEST(WorkerOrder, RunsWhatComesInOrderAtOnce) {
  Record record;
  WorkerOrder order(10);
  for (std::uint64_t n = 1; n <= 3; ++n) order.Submit(n, record.Turn(n));
  EXPECT_EQ(record.Take(), (Ran{"1", "2", "3"}));
}

TEST(WorkerOrder, LetsEarlyOnesWaitForThoseBefore) {
  Record record;
  WorkerOrder order(10);
  order.Submit(3, record.Turn(3));
  order.Submit(2, record.Turn(2));
  order.Submit(5, record.Turn(5));
  EXPECT_EQ(record.Take(), Ran{});
  order.Submit(1, record.Turn(1));
  EXPECT_EQ(record.Take(), (Ran{"1", "2", "3"}));
  order.Submit(4, record.Turn(4));
  EXPECT_EQ(record.Take(), (Ran{"4", "5"}));
}

TEST(WorkerOrder, ARepeatedNumberRunsAsARepeat) {
  Record record;
  WorkerOrder order(10);
  order.Submit(1, record.Turn(1));
  order.Submit(1, record.Turn(1));
  order.Submit(2, record.Turn(2));
  order.Submit(1, record.Turn(1));
  EXPECT_EQ(record.Take(), (Ran{"1", "1r", "2", "1r"}));
  order.Submit(3, record.Turn(3));
  EXPECT_EQ(record.Take(), Ran{"3"}) << "a repeat must not move the order";
}

TEST(WorkerOrder, ARepeatOfAWaitingNumberReplacesIt) {
  Record record;
  WorkerOrder order(10);
  order.Submit(2, record.Turn(2));
  order.Submit(2, record.Turn(2));
  EXPECT_EQ(record.Take(), Ran{"2 ABORTED"});
  order.Submit(1, record.Turn(1));
  EXPECT_EQ(record.Take(), (Ran{"1", "2"}));
}

TEST(WorkerOrder, RefusesWhatLiesBeyondTheWindow) {
  Record record;
  WorkerOrder order(4);
  order.Submit(5, record.Turn(5));
  EXPECT_EQ(record.Take(), Ran{"5 UNAVAILABLE"});
  EXPECT_NE(record.message.find("window of 4"), std::string::npos)
      << record.message;
  order.Submit(4, record.Turn(4));
  EXPECT_EQ(record.Take(), Ran{});
  order.Submit(1, record.Turn(1));
  order.Submit(5, record.Turn(5));
  EXPECT_EQ(record.Take(), Ran{"1"});
}

TEST(WorkerOrder, AnExchangeThatComesWhileOneRunsWaitsForItsEnd) {
  Record record;
  WorkerOrder order(10);
  std::vector<std::string> while_running;
  record.during = [&](std::uint64_t n) {
    if (n != 1 || !while_running.empty()) return;
    order.Submit(2, record.Turn(2));
    order.Submit(1, record.Turn(1));
    while_running = record.ran;
  };
  order.Submit(1, record.Turn(1));
  EXPECT_EQ(while_running, Ran{"1"});
  EXPECT_EQ(record.ran.size(), 3u);
  EXPECT_EQ(std::count(record.ran.begin(), record.ran.end(), "2"), 1);
  EXPECT_EQ(std::count(record.ran.begin(), record.ran.end(), "1r"), 1);
}

TEST(WorkerOrder, CloseRefusesWhatWaitsAndWhatWouldHaveTo) {
  Record record;
  WorkerOrder order(10);
  order.Submit(3, record.Turn(3));
  order.Close();
  EXPECT_EQ(record.Take(), Ran{"3 UNAVAILABLE"});
  order.Submit(2, record.Turn(2));
  EXPECT_EQ(record.Take(), Ran{"2 UNAVAILABLE"});
  order.Submit(1, record.Turn(1));
  EXPECT_EQ(record.Take(), Ran{"1"}) << "what need not wait still runs";
}

TEST(WorkerOrder, ATurnWithoutMemoryIsRefusedAndTheNextOnesRun) {
  Record record;
  WorkerOrder order(10);
  record.during = [](std::uint64_t n) {
    if (n == 1) throw std::bad_alloc();
  };
  order.Submit(2, record.Turn(2));
  order.Submit(1, record.Turn(1));
  EXPECT_EQ(record.Take(), (Ran{"1", "1 INTERNAL", "2"}));
  order.Submit(3, record.Turn(3));
  EXPECT_EQ(record.Take(), Ran{"3"});
}

TEST(WorkerOrder, ItsEndRefusesWhatWaits) {
  Record record;
  {
    WorkerOrder order(10);
    order.Submit(2, record.Turn(2));
  }
  EXPECT_EQ(record.Take(), Ran{"2 UNAVAILABLE"});
}

TEST(WorkerOrder, ThreadsWithShuffledAndRepeatedNumbersRunEachOnceInOrder) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    constexpr std::uint64_t kNumbers = 400;
    WorkerOrder order(kNumbers + 1);
    // Guarded by the order itself: one exchange runs at a time.
    std::vector<std::uint64_t> first_runs;
    std::atomic<int> answers{0};
    std::atomic<int> running{0};
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(seed * 10 + t);
        std::vector<std::uint64_t> numbers;
        // Every number by two of the threads.
        for (std::uint64_t n = 1; n <= kNumbers; ++n) {
          if (n % 2 == t % 2) numbers.push_back(n);
        }
        std::shuffle(numbers.begin(), numbers.end(), random);
        for (const std::uint64_t n : numbers) {
          order.Submit(n, {[&, n](bool repeated) {
                             EXPECT_EQ(++running, 1);
                             if (!repeated) first_runs.push_back(n);
                             --running;
                             ++answers;
                           },
                           [&](Status) { ++answers; }});
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(first_runs.size(), kNumbers);
    for (std::uint64_t n = 1; n <= kNumbers; ++n) {
      ASSERT_EQ(first_runs[n - 1], n);
    }
    EXPECT_EQ(answers, 2 * static_cast<int>(kNumbers));
  }
}

}  // namespace
}  // namespace het
