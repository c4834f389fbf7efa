// Mutex, MutexLock and CondVar with clang's thread-safety annotations.
//
// Data that a mutex protects is declared HET_GUARDED_BY(mutex); a function
// that wants the lock held is declared HET_REQUIRES(mutex). `make
// thread-safety` has clang check both. Under other compilers the annotations
// vanish and these are the standard library's types.

#ifndef HET_TF_KERNELS_BASE_MUTEX_H_
#define HET_TF_KERNELS_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define HET_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define HET_THREAD_ANNOTATION(x)
#endif
#define HET_CAPABILITY(x) HET_THREAD_ANNOTATION(capability(x))
#define HET_SCOPED_CAPABILITY HET_THREAD_ANNOTATION(scoped_lockable)
#define HET_GUARDED_BY(x) HET_THREAD_ANNOTATION(guarded_by(x))
#define HET_REQUIRES(...) \
  HET_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define HET_ACQUIRE(...) HET_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define HET_RELEASE(...) HET_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define HET_EXCLUDES(...) HET_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define HET_NO_THREAD_SAFETY_ANALYSIS \
  HET_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace het {

class HET_CAPABILITY("mutex") Mutex {
 public:
  void Lock() HET_ACQUIRE() { mutex_.lock(); }
  void Unlock() HET_RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class HET_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) HET_ACQUIRE(mutex) : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() HET_RELEASE() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* mutex_;
};

class CondVar {
 public:
  // REQUIRES for each: the caller holds `mutex`; it is released while waiting.
  void Wait(Mutex* mutex) HET_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // Returns false when the deadline passed first.
  bool WaitUntil(Mutex* mutex, std::chrono::steady_clock::time_point deadline)
      HET_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    const bool notified =
        condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_MUTEX_H_
