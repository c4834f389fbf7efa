// EvictionPolicy: which cached row goes next.
//
// The policy knows exactly the entries that may be evicted: the cache takes an
// entry out while a step uses it and puts it back when the step is over; that
// is one use. Entries are small integers that the cache hands out and reuses.
//
// Every call takes O(1) time, amortised for the ageing of LFU and light LFU.
// Not thread-safe: used under the owning cache's lock.

#ifndef HET_TF_KERNELS_CACHE_EVICTION_POLICY_H_
#define HET_TF_KERNELS_CACHE_EVICTION_POLICY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/base/status.h"

namespace het {

class EvictionPolicy {
 public:
  using Entry = std::uint32_t;

  virtual ~EvictionPolicy() = default;

  // The entry has been used and may be evicted from now on.
  // REQUIRES: it is not in the policy.
  virtual void Add(Entry entry) = 0;

  // The entry is in use: it may not be evicted until it is added again, and
  // its history is kept. REQUIRES: it is in the policy.
  virtual void Remove(Entry entry) = 0;

  // Takes the entry to evict out of the policy, with its history.
  // REQUIRES: the policy is not empty.
  virtual Entry Evict() = 0;

  // Forgets the history of an entry that is not in the policy and now goes.
  virtual void Forget(Entry entry) = 0;
};

// Names: "lru", "lfu", "light_lfu". `capacity` sets how fast LFU forgets.
Result<std::unique_ptr<EvictionPolicy>> CreateEvictionPolicy(
    const std::string& name, std::int64_t capacity);

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_EVICTION_POLICY_H_
