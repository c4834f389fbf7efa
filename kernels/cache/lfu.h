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

  void Add(Entry entry) override {
    lists_.Use(entry);
    if (++uses_ >= lists_.Period(capacity_)) {
      uses_ = 0;
      lists_.Halve();
    }
  }
  void Remove(Entry entry) override { lists_.Remove(entry); }
  Entry Evict() override {
    const Entry entry = lists_.TakeLowest();
    lists_.Forget(entry);
    return entry;
  }
  void Forget(Entry entry) override { lists_.Forget(entry); }

 private:
  const std::int64_t capacity_;
  std::int64_t uses_ = 0;
  FrequencyLists lists_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_LFU_H_
