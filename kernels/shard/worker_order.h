// WorkerOrder: brings the exchanges of one worker incarnation into sequence.
//
// An exchange runs when all before it have run; one that arrives early waits,
// without a thread. A repeated exchange (its number has been taken) runs too,
// as a repeat: the shard then skips its pushes and redoes its reads. One
// exchange of a worker runs at a time, so a read never sees a push with a
// higher number. The record is the next number and what is waiting.
//
// Thread-safety: all methods may be called from any thread. The mutex is a
// leaf: it is not held while an exchange runs or an answer is given.

#ifndef HET_TF_KERNELS_SHARD_WORKER_ORDER_H_
#define HET_TF_KERNELS_SHARD_WORKER_ORDER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>

#include "kernels/base/mutex.h"
#include "kernels/base/status.h"

namespace het {

class WorkerOrder {
 public:
  // One exchange: run(repeated) executes and answers it, refuse(status) answers
  // it without executing. Exactly one of the two is called, once; but when run
  // has no memory left to answer (std::bad_alloc), refuse is called after it.
  struct Turn {
    std::function<void(bool repeated)> run;
    std::function<void(Status)> refuse;
  };

  // `window`: how far ahead of the next number an exchange may be.
  explicit WorkerOrder(std::uint64_t window) : window_(window) {}
  ~WorkerOrder() { Close(); }
  WorkerOrder(const WorkerOrder&) = delete;
  WorkerOrder& operator=(const WorkerOrder&) = delete;

  // Runs the exchange now, with those that waited for it, or lets it wait.
  // Beyond the window it is refused with UNAVAILABLE. When the same
  // number waits already, the older call is refused with ABORTED.
  // REQUIRES: sequence >= 1.
  void Submit(std::uint64_t sequence, Turn turn) HET_EXCLUDES(mutex_);

  // For a log: the exchange has been applied, or refused, for good. It is noted
  // while it runs, before Submit goes on to the next number.
  void NoteTaken(std::uint64_t sequence) { next_to_take_ = sequence + 1; }
  // The first number that has not been noted.
  std::uint64_t next_to_take() const { return next_to_take_; }
  // An exchange that was refused stays so when it is repeated, whatever has made
  // room for it meanwhile: as many of the newest are remembered as a worker may
  // have under way.
  void NoteRefused(std::uint64_t sequence, const Status& status)
      HET_EXCLUDES(mutex_);
  // OK: it was not refused.
  Status Refusal(std::uint64_t sequence) HET_EXCLUDES(mutex_);
  // All that are remembered.
  std::map<std::uint64_t, Status> Refusals() HET_EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return refused_;
  }
  // Of a worker that comes back from a log. REQUIRES: before the first Submit.
  void SetNext(std::uint64_t next) HET_EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    next_ = next;
    next_to_take_ = next;
  }

  // Whether nothing has come for as long and nothing waits or runs: the worker is
  // gone, and its record may go.
  bool IdleFor(std::chrono::steady_clock::duration time) HET_EXCLUDES(mutex_);

  // Refuses what is waiting, and what would have to wait, with UNAVAILABLE.
  void Close() HET_EXCLUDES(mutex_);

 private:
  void Drain(std::uint64_t sequence, Turn turn) HET_EXCLUDES(mutex_);

  const std::uint64_t window_;
  std::atomic<std::uint64_t> next_to_take_{1};
  Mutex mutex_;
  std::uint64_t next_ HET_GUARDED_BY(mutex_) = 1;
  std::chrono::steady_clock::time_point last_came_ HET_GUARDED_BY(mutex_) =
      std::chrono::steady_clock::now();
  bool running_ HET_GUARDED_BY(mutex_) = false;
  bool closed_ HET_GUARDED_BY(mutex_) = false;
  std::map<std::uint64_t, Turn> waiting_ HET_GUARDED_BY(mutex_);
  std::map<std::uint64_t, Status> refused_ HET_GUARDED_BY(mutex_);
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_WORKER_ORDER_H_
