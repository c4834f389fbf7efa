// LRU: the entry whose last use is longest ago goes first.
//
// A use appends to a queue and leaves what it supersedes there: Next passes
// over all turns of an entry but the last, of which it knows by their number, and
// now and then the queue is swept. So a use touches two bytes per entry and the
// queue's end, and no neighbours in a list.

#ifndef HET_TF_KERNELS_CACHE_LRU_H_
#define HET_TF_KERNELS_CACHE_LRU_H_

#include <cstdint>
#include <vector>

#include "kernels/base/huge_pages.h"
#include "kernels/cache/entry_queues.h"
#include "kernels/cache/eviction_policy.h"

namespace het {

class Lru final : public EvictionPolicy {
 public:
  void Use(Span<const Entry> entries, std::int64_t apart) override;
  Entry Next() override;
  void Forget(Entry entry) override;
  std::int64_t memory_bytes() const override;

 private:
  static constexpr std::uint32_t kQueue = 0;
  static constexpr std::uint16_t kMostTurns = 0x7fff;
  struct State {
    std::uint16_t turns : 15;  // that the entry has in the queue
    std::uint16_t inside : 1;
    State() : turns(0), inside(false) {}
  };
  static_assert(sizeof(State) == 2);

  // Leaves of every entry inside its last turn, of the others none.
  void DropSuperseded();

  EntryQueues queue_{1};  // oldest first
  std::vector<State, HugePages<State>> states_;
  std::size_t inside_ = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_LRU_H_
