// BackgroundJob: work on a thread of its own that others ask about.
//
// Ownership: the destructor tells the work to stop and waits for it. Thread-safety:
// all methods may be called from any thread. The mutex is a leaf.

#ifndef HET_TF_KERNELS_SHARD_BACKGROUND_JOB_H_
#define HET_TF_KERNELS_SHARD_BACKGROUND_JOB_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <new>
#include <thread>
#include <utility>

#include "kernels/base/mutex.h"
#include "kernels/base/status.h"
#include "kernels/store/checkpoint.h"

namespace het {

class BackgroundJob {
 public:
  // Runs `work` at once. It looks at stopping() now and then and ends soon when
  // that is true.
  explicit BackgroundJob(std::function<Status(BackgroundJob&)> work)
      : thread_([this, work = std::move(work)] {
          Status status;
          try {
            status = work(*this);
          } catch (const std::bad_alloc&) {
            status = ResourceExhausted("the shard has no memory left for it");
          }
          MutexLock lock(&mutex_);
          status_ = std::move(status);
          done_ = true;
        }) {}
  ~BackgroundJob() {
    stopping_ = true;
    thread_.join();
  }
  BackgroundJob(const BackgroundJob&) = delete;
  BackgroundJob& operator=(const BackgroundJob&) = delete;

  // For the work.
  bool stopping() const { return stopping_; }
  void Report(std::uint64_t rows, std::uint64_t bytes) {
    rows_ = static_cast<std::int64_t>(rows);
    bytes_ = static_cast<std::int64_t>(bytes);
  }

  // How far it is; once the work has failed, its error.
  Result<CheckpointProgress> progress() const HET_EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    if (!status_.ok()) return status_;
    return CheckpointProgress{done_, rows_, bytes_};
  }
  bool done() const HET_EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    return done_;
  }

 private:
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> rows_{0};
  std::atomic<std::int64_t> bytes_{0};
  mutable Mutex mutex_;
  Status status_ HET_GUARDED_BY(mutex_);
  bool done_ HET_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_BACKGROUND_JOB_H_
