// StalenessHistogram: how far behind the copies are that workers have validated:
// 0, 1, 2-3, 4-7, ... clock ticks (TableStats::staleness).
//
// Thread-safety: all methods may be called from any thread; a Batch belongs to one.

#ifndef HET_TF_KERNELS_SHARD_STALENESS_HISTOGRAM_H_
#define HET_TF_KERNELS_SHARD_STALENESS_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "kernels/base/types.h"
#include "kernels/store/embedding_store.h"

namespace het {

class StalenessHistogram {
 public:
  static constexpr std::size_t kBuckets = 24;

  class Batch {
   public:
    // A worker's own updates may put its copy's clock ahead: that is 0.
    void Note(Clock row, Clock copy) {
      const auto ticks =
          static_cast<std::uint64_t>(std::max<Clock>(row - copy, 0));
      const auto bucket = static_cast<std::size_t>(
          ticks == 0 ? 0 : 64 - __builtin_clzll(ticks));
      ++counts_[std::min(bucket, kBuckets - 1)];
      sum_ += static_cast<std::int64_t>(ticks);
    }

   private:
    friend class StalenessHistogram;
    std::array<std::int64_t, kBuckets> counts_ = {};
    std::int64_t sum_ = 0;
  };

  void Add(const Batch& batch) {
    for (std::size_t b = 0; b < kBuckets; ++b) {
      if (batch.counts_[b] == 0) continue;
      counts_[b].fetch_add(batch.counts_[b], std::memory_order_relaxed);
    }
    sum_.fetch_add(batch.sum_, std::memory_order_relaxed);
  }

  void FillIn(TableStats* stats) const {
    stats->staleness.assign(counts_.begin(), counts_.end());
    stats->staleness_sum = sum_;
  }

 private:
  std::array<std::atomic<std::int64_t>, kBuckets> counts_{};
  std::atomic<std::int64_t> sum_{0};
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_STALENESS_HISTOGRAM_H_
