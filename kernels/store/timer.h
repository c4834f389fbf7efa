// Timer: the time and calls at a later time, injected wherever something waits.
//
// Thread-safety: all methods may be called from any thread. Callbacks run one
// at a time on the timer's own thread, with no lock held.

#ifndef HET_TF_KERNELS_STORE_TIMER_H_
#define HET_TF_KERNELS_STORE_TIMER_H_

#include <chrono>
#include <functional>
#include <memory>

namespace het {

class Timer {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~Timer() = default;
  virtual Clock::time_point Now() const = 0;
  // Calls `callback` once, `delay` from now or soon after.
  virtual void Schedule(Clock::duration delay,
                        std::function<void()> callback) = 0;
};

// The real one, shared by the whole process. Its thread starts with the first
// Schedule and never ends: a timer that its own callbacks could destroy, or
// that static destruction would stop, has no good moment to go.
std::shared_ptr<Timer> SystemTimer();

}  // namespace het

#endif  // HET_TF_KERNELS_STORE_TIMER_H_
