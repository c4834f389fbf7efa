#include "kernels/store/timer.h"

#include <map>
#include <thread>
#include <utility>

#include "kernels/base/mutex.h"

namespace het {
namespace {

class ThreadTimer final : public Timer {
 public:
  Clock::time_point Now() const override { return Clock::now(); }

  void Schedule(Clock::duration delay,
                std::function<void()> callback) override {
    MutexLock lock(&mutex_);
    due_.emplace(Clock::now() + delay, std::move(callback));
    if (!started_) {
      started_ = true;
      std::thread([this] { Run(); }).detach();
    }
    changed_.NotifyAll();
  }

 private:
  void Run() {
    mutex_.Lock();
    while (true) {
      if (due_.empty()) {
        changed_.Wait(&mutex_);
        continue;
      }
      const auto first = due_.begin();
      if (first->first > Clock::now()) {
        const Clock::time_point until = first->first;
        changed_.WaitUntil(&mutex_, until);
        continue;
      }
      std::function<void()> callback = std::move(first->second);
      due_.erase(first);
      mutex_.Unlock();
      callback();
      callback = nullptr;  // what it holds goes without the lock
      mutex_.Lock();
    }
  }

  Mutex mutex_;
  CondVar changed_;
  bool started_ HET_GUARDED_BY(mutex_) = false;
  std::multimap<Clock::time_point, std::function<void()>> due_
      HET_GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<Timer> SystemTimer() {
  static auto* const timer =
      new std::shared_ptr<Timer>(std::make_shared<ThreadTimer>());
  return *timer;
}

}  // namespace het
