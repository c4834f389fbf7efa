// KeptRows: how much memory the rows take that a snapshot has not written yet and
// that have changed since its cut, over all tables of a shard. Pushes that would
// take more wait for the disk, but not for long: rather than training, the
// snapshot then ends.
//
// Thread-safety: all methods may be called from any thread. The mutex is a leaf.

#ifndef HET_TF_KERNELS_SHARD_KEPT_ROWS_H_
#define HET_TF_KERNELS_SHARD_KEPT_ROWS_H_

#include <atomic>
#include <chrono>
#include <cstddef>

#include "kernels/base/mutex.h"

namespace het {

class KeptRows {
 public:
  // `most`: bytes from which on pushes wait, for at most `patience`.
  KeptRows(std::size_t most, std::chrono::milliseconds patience)
      : most_(most), patience_(patience) {}

  // A snapshot begins.
  void Begin() {
    bytes_ = 0;
    overrun_ = false;
  }
  void Add(std::size_t bytes) { bytes_ += bytes; }
  void Remove(std::size_t bytes) HET_EXCLUDES(mutex_);
  // Waits until there is room; when it does not come in time the snapshot is
  // overrun: rows are kept for it no more.
  void AwaitRoom() HET_EXCLUDES(mutex_);
  bool overrun() const { return overrun_; }
  std::size_t bytes() const { return bytes_; }

 private:
  const std::size_t most_;
  const std::chrono::milliseconds patience_;
  std::atomic<std::size_t> bytes_{0};
  std::atomic<bool> overrun_{false};
  Mutex mutex_;
  CondVar removed_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_KEPT_ROWS_H_
