// LFU: the entry used least often goes first; among equals, as a rule, the one
// that was found so first. Counts are halved every ten uses per row of capacity, or per
// row there has been if these are more.

#ifndef HET_TF_KERNELS_CACHE_LFU_H_
#define HET_TF_KERNELS_CACHE_LFU_H_

#include <cstdint>
#include <vector>

#include "kernels/cache/eviction_policy.h"
#include "kernels/cache/frequency_lists.h"

namespace het {

class Lfu final : public EvictionPolicy {
 public:
  explicit Lfu(std::int64_t capacity) : capacity_(capacity) {}

  void Use(Span<const Entry> entries, std::int64_t apart) override {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      lists_.PrefetchStates(entries, i);
      lists_.Use(entries[i]);
    }
    uses_ += static_cast<std::int64_t>(entries.size()) + apart;
    if (uses_ >= lists_.Period(capacity_)) {
      uses_ = 0;
      lists_.Halve();
    }
  }
  void UseApart(Span<const Entry> entries, std::vector<Entry>* rest) override {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      lists_.PrefetchStates(entries, i);
      if (!lists_.UseApart(entries[i])) rest->push_back(entries[i]);
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
