// LRU: the entry whose last use is longest ago goes first.
//
// A use appends to a queue and leaves what it supersedes there: Evict passes
// over it, and now and then the queue is swept. So a use touches one word per
// entry and the queue's end, and no neighbours in a list.

#ifndef HET_TF_KERNELS_CACHE_LRU_H_
#define HET_TF_KERNELS_CACHE_LRU_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "kernels/cache/eviction_policy.h"

namespace het {

class Lru final : public EvictionPolicy {
 public:
  void Add(Entry entry) override;
  void Remove(Entry entry) override {
    last_use_[entry] = kOutside;
    --inside_;
  }
  Entry Evict() override;
  void Forget(Entry) override {}

 private:
  static constexpr std::uint64_t kOutside = 0;
  struct Use {
    Entry entry;
    std::uint64_t number;
  };
  bool IsLast(const Use& use) const {
    return last_use_[use.entry] == use.number;
  }

  std::uint64_t uses_ = kOutside;
  std::size_t inside_ = 0;
  std::deque<Use> queue_;  // oldest first
  std::vector<std::uint64_t> last_use_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_LRU_H_
