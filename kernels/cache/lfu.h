// LFU: the entry used least often goes first; among equals one that has been
// found so before. Counts are halved every ten uses per row of capacity, or per
// row there has been if these are more.

#ifndef HET_TF_KERNELS_CACHE_LFU_H_
#define HET_TF_KERNELS_CACHE_LFU_H_

#include <cstdint>

#include "kernels/cache/eviction_policy.h"
#include "kernels/cache/frequency_lists.h"

namespace het {

class Lfu final : public EvictionPolicy {
 public:
  explicit Lfu(std::int64_t capacity) : capacity_(capacity) {}

  void Use(Span<const Entry> entries) override {
    constexpr std::size_t kAhead = 16;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i + kAhead < entries.size()) lists_.PrefetchState(entries[i + kAhead]);
      lists_.Use(entries[i]);
    }
    uses_ += static_cast<std::int64_t>(entries.size());
    if (uses_ >= lists_.Period(capacity_)) {
      uses_ = 0;
      lists_.Halve();
    }
  }
  Entry Next() override { return lists_.TakeLowest(); }
  void Forget(Entry entry) override { lists_.Forget(entry); }
  std::int64_t memory_bytes() const override { return lists_.memory_bytes(); }

 private:
  const std::int64_t capacity_;
  std::int64_t uses_ = 0;
  FrequencyLists lists_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_LFU_H_
