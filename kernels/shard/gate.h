// Gate: many pass through it, until somebody shuts it to be alone for a moment.
//
// A lock for readers and a writer whose writer never starves: whoever comes after
// it waits. Thread-safety: all methods may be called from any thread.

#ifndef HET_TF_KERNELS_SHARD_GATE_H_
#define HET_TF_KERNELS_SHARD_GATE_H_

#include <cstdint>

#include "kernels/base/mutex.h"

namespace het {

class Gate {
 public:
  // Inside from construction to destruction.
  class Passage {
   public:
    explicit Passage(Gate* gate) : gate_(gate) { gate_->Enter(); }
    ~Passage() { gate_->Leave(); }
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

   private:
    Gate* const gate_;
  };

  // Shut from construction, which waits until nobody is inside, to destruction.
  class Shut {
   public:
    explicit Shut(Gate* gate) : gate_(gate) { gate_->Close(); }
    ~Shut() { gate_->Open(); }
    Shut(const Shut&) = delete;
    Shut& operator=(const Shut&) = delete;

   private:
    Gate* const gate_;
  };

 private:
  void Enter() HET_EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    while (shut_) changed_.Wait(&mutex_);
    ++inside_;
  }
  void Leave() HET_EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    if (--inside_ == 0 && shut_) changed_.NotifyAll();
  }
  void Close() HET_EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    while (shut_) changed_.Wait(&mutex_);
    shut_ = true;
    while (inside_ > 0) changed_.Wait(&mutex_);
  }
  void Open() HET_EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    shut_ = false;
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  std::int64_t inside_ HET_GUARDED_BY(mutex_) = 0;
  bool shut_ HET_GUARDED_BY(mutex_) = false;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_GATE_H_
