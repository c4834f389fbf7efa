// LRU: the entry whose last use is longest ago goes first.
//
// A use appends to a queue and leaves what it supersedes there: Next passes
// over it, and now and then the queue is swept. So a use touches one word per
// entry and the queue's end, and no neighbours in a list.

#ifndef HET_TF_KERNELS_CACHE_LRU_H_
#define HET_TF_KERNELS_CACHE_LRU_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "kernels/base/huge_pages.h"
#include "kernels/cache/eviction_policy.h"

namespace het {

class Lru final : public EvictionPolicy {
 public:
  void Use(Span<const Entry> entries) override;
  Entry Next() override;
  void Forget(Entry entry) override;
  std::int64_t memory_bytes() const override;

 private:
  static constexpr std::uint32_t kOutside = 0;
  struct Turn {
    Entry entry;
    std::uint32_t number;  // of the use: its last digits, and never kOutside
  };
  bool IsLast(const Turn& use) const {
    return last_use_[use.entry] == use.number;
  }

  std::uint32_t uses_ = kOutside;
  std::size_t inside_ = 0;
  std::deque<Turn> queue_;  // oldest first
  std::vector<std::uint32_t, HugePages<std::uint32_t>> last_use_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_LRU_H_
