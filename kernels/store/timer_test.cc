// SystemTimer: callbacks come in the order of their times, and may schedule.

#include "kernels/store/timer.h"

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <vector>

namespace het {
namespace {

using std::chrono::milliseconds;

TEST(SystemTimer, IsOneForTheProcess) {
  EXPECT_EQ(SystemTimer(), SystemTimer());
}

TEST(SystemTimer, RunsCallbacksInTheOrderOfTheirTimes) {
  std::vector<int> order;
  std::promise<void> last;
  // One thread runs them all, so `order` needs no lock.
  SystemTimer()->Schedule(milliseconds(40), [&] {
    order.push_back(3);
    last.set_value();
  });
  SystemTimer()->Schedule(milliseconds(1), [&] { order.push_back(1); });
  SystemTimer()->Schedule(milliseconds(20), [&] { order.push_back(2); });
  last.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(SystemTimer, NeverCallsTooEarly) {
  for (const int delay : {0, 1, 5}) {
    const Timer::Clock::time_point due =
        SystemTimer()->Now() + milliseconds(delay);
    std::promise<Timer::Clock::time_point> called;
    SystemTimer()->Schedule(milliseconds(delay), [&] {
      called.set_value(SystemTimer()->Now());
    });
    EXPECT_GE(called.get_future().get(), due);
  }
}

TEST(SystemTimer, ACallbackMaySchedule) {
  std::promise<int> reached;
  std::function<void(int)> again = [&](int n) {
    if (n == 5) {
      reached.set_value(n);
      return;
    }
    SystemTimer()->Schedule(milliseconds(0), [&again, n] { again(n + 1); });
  };
  again(0);
  EXPECT_EQ(reached.get_future().get(), 5);
}

}  // namespace
}  // namespace het
