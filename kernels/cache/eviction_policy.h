// EvictionPolicy: which cached row goes next.
//
// The cache tells it of every use, and asks for the next one to go. An entry in
// use when its turn comes is not evicted: the cache passes over it, and its next
// use takes it in again. So what a hit costs here is one use. Entries are small
// integers that the cache hands out and reuses.
//
// Every call takes O(1) time, amortised for the ageing of LFU and light LFU.
// Not thread-safe: used under the owning cache's lock.

#ifndef HET_TF_KERNELS_CACHE_EVICTION_POLICY_H_
#define HET_TF_KERNELS_CACHE_EVICTION_POLICY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/base/span.h"
#include "kernels/base/status.h"

namespace het {

class EvictionPolicy {
 public:
  using Entry = std::uint32_t;

  virtual ~EvictionPolicy() = default;

  // These entries have been used, in this order, once each. They are in the
  // order of eviction from now on.
  virtual void Use(Span<const Entry> entries) = 0;

  // The entry whose turn it is. It leaves the order and keeps its history.
  // REQUIRES: the order is not empty.
  virtual Entry Next() = 0;

  // The entry goes, in the order or not: forgets it.
  virtual void Forget(Entry entry) = 0;

  virtual std::int64_t memory_bytes() const = 0;
};

// Names: "lru", "lfu", "light_lfu". `capacity` sets how fast LFU forgets.
Result<std::unique_ptr<EvictionPolicy>> CreateEvictionPolicy(
    const std::string& name, std::int64_t capacity);

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_EVICTION_POLICY_H_
