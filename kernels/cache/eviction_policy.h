// EvictionPolicy: which cached row goes next.
//
// The cache tells it of every use, and asks for the next one to go. An entry in
// use when its turn comes is not evicted: the cache passes over it, and its next
// use takes it in again. So what a hit costs here is one use. Entries are small
// integers that the cache hands out and reuses.
//
// Every call takes O(1) time, amortised for the ageing of LFU and light LFU and for
// the sweeps of their lists and of LRU's queue.
// Not thread-safe: used under the owning cache's lock.

#ifndef HET_TF_KERNELS_CACHE_EVICTION_POLICY_H_
#define HET_TF_KERNELS_CACHE_EVICTION_POLICY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/status.h"

namespace het {

class EvictionPolicy {
 public:
  using Entry = std::uint32_t;

  virtual ~EvictionPolicy() = default;

  // These entries have been used, in this order, once each. They are in the
  // order of eviction from now on. So many more uses have been taken by UseApart.
  virtual void Use(Span<const Entry> entries, std::int64_t apart = 0) = 0;

  // Takes the uses of those of the entries for which it need not look at any other
  // entry, and adds the others to `rest`. Several threads may call it at the same
  // time, each with entries of its own, while nobody calls anything else; then
  // comes Use, for the rest.
  virtual void UseApart(Span<const Entry> entries, std::vector<Entry>* rest) {
    rest->insert(rest->end(), entries.begin(), entries.end());
  }

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
