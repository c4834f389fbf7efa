// LRU: the entry whose last use is longest ago goes first.

#ifndef HET_TF_KERNELS_CACHE_LRU_H_
#define HET_TF_KERNELS_CACHE_LRU_H_

#include "kernels/cache/entry_lists.h"
#include "kernels/cache/eviction_policy.h"

namespace het {

class Lru final : public EvictionPolicy {
 public:
  void Add(Entry entry) override { lists_.Append(0, entry); }
  void Remove(Entry entry) override { lists_.Unlink(entry); }
  Entry Evict() override {
    const Entry entry = lists_.oldest(0);
    lists_.Unlink(entry);
    return entry;
  }
  void Forget(Entry) override {}

 private:
  EntryLists lists_{1};
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_LRU_H_
