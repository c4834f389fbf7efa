// ManualTimer: a timer that stands still until a test moves it.
//
// Thread-safety: Now and Schedule may be called from any thread; a test's own
// thread moves the time. Callbacks run on that thread with no lock held.

#ifndef HET_TF_KERNELS_TESTING_MANUAL_TIMER_H_
#define HET_TF_KERNELS_TESTING_MANUAL_TIMER_H_

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/store/timer.h"

namespace het {

class ManualTimer final : public Timer {
 public:
  Clock::time_point Now() const override {
    MutexLock lock(&mutex_);
    return now_;
  }

  void Schedule(Clock::duration delay,
                std::function<void()> callback) override {
    MutexLock lock(&mutex_);
    delays_.push_back(delay);
    due_.emplace(now_ + delay, std::move(callback));
  }

  bool empty() const {
    MutexLock lock(&mutex_);
    return due_.empty();
  }

  // Every delay asked for so far, oldest first.
  std::vector<Clock::duration> delays() const {
    MutexLock lock(&mutex_);
    return delays_;
  }

  // Moves the time to the earliest callback and runs it. False: there is none.
  bool RunNext() {
    std::function<void()> callback;
    {
      MutexLock lock(&mutex_);
      if (due_.empty()) return false;
      const auto first = due_.begin();
      now_ = std::max(now_, first->first);
      callback = std::move(first->second);
      due_.erase(first);
    }
    callback();
    return true;
  }

  // Forgets what is due: a callback may hold whoever holds the timer.
  void Clear() {
    std::multimap<Clock::time_point, std::function<void()>> due;
    {
      MutexLock lock(&mutex_);
      due.swap(due_);
    }
  }

  // Moves the time without running anything.
  void Advance(Clock::duration by) {
    MutexLock lock(&mutex_);
    now_ += by;
  }

 private:
  mutable Mutex mutex_;
  Clock::time_point now_ HET_GUARDED_BY(mutex_){};
  std::vector<Clock::duration> delays_ HET_GUARDED_BY(mutex_);
  std::multimap<Clock::time_point, std::function<void()>> due_
      HET_GUARDED_BY(mutex_);
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_MANUAL_TIMER_H_
