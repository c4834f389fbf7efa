#include "kernels/base/parallel.h"

#include <gtest/gtest.h>

#include <mutex>
#include <thread>
#include <vector>

namespace het {
namespace {

// A thread for everything that is scheduled.
class Threads {
 public:
  ~Threads() { Join(); }
  Executor executor(std::size_t threads) {
    return {threads, [this](std::function<void()> work) {
              threads_.emplace_back(std::move(work));
            }};
  }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::vector<std::thread> threads_;
};

TEST(ParallelFor, VisitsEveryItemOnce) {
  Threads threads;
  for (const std::size_t size : {0, 1, 2, 7, 64, 1000, 1001}) {
    for (const std::size_t grain : {1, 3, 100, 5000}) {
      for (const std::size_t count : {1, 2, 5}) {
        std::vector<int> visits(size);
        ParallelFor(threads.executor(count), size, grain,
                    [&](std::size_t begin, std::size_t end) {
                      ASSERT_LT(begin, end);
                      for (std::size_t i = begin; i < end; ++i) ++visits[i];
                    });
        EXPECT_EQ(visits, std::vector<int>(size, 1));
      }
    }
  }
}

TEST(ParallelFor, SmallWorkStaysWithTheCaller) {
  Executor executor{8, [](std::function<void()>) { FAIL(); }};
  int calls = 0;
  ParallelFor(executor, 100, 100, [&](std::size_t begin, std::size_t end) {
    ++calls;
    EXPECT_EQ(begin, 0u);
    EXPECT_EQ(end, 100u);
  });
  EXPECT_EQ(calls, 1);
}

// Threads that run what they are given much later, or queue for a lock that the
// caller holds, are not waited for.
TEST(ParallelFor, NeedsNobodyButTheCaller) {
  std::vector<std::function<void()>> late;
  Executor executor{
      3, [&](std::function<void()> work) { late.push_back(std::move(work)); }};
  std::size_t sum = 0;
  ParallelFor(executor, 1000, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) sum += i;
  });
  EXPECT_EQ(sum, 499500u);
  ASSERT_EQ(late.size(), 2u);
  for (const auto& work : late) work();
  EXPECT_EQ(sum, 499500u);
}

// Whichever thread comes first: what was found stays in the items' order.
TEST(ParallelCollect, MergesInTheOrderOfTheItems) {
  constexpr std::size_t kSize = 100000;
  for (const std::size_t count : {1, 4}) {
    Threads threads;
    std::vector<std::size_t> all;
    int pieces = 0;
    ParallelCollect<std::vector<std::size_t>>(
        threads.executor(count), kSize, 100,
        [](std::size_t begin, std::size_t end,
           std::vector<std::size_t>* found) {
          for (std::size_t i = begin; i < end; ++i) found->push_back(i);
        },
        [&](const std::vector<std::size_t>* found) {
          ++pieces;
          all.insert(all.end(), found->begin(), found->end());
        });
    ASSERT_EQ(all.size(), kSize);
    for (std::size_t i = 0; i < kSize; ++i) ASSERT_EQ(all[i], i);
    EXPECT_EQ(pieces == 1, count == 1);
  }
}

}  // namespace
}  // namespace het
