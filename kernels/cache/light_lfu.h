// Light LFU (HET, section 4.4): an entry that has become hot enough leaves the
// frequency lists, so that a use of it costs one store and nothing is moved.
//
// As published, hot entries stay for ever. Here they can cool: every period a
// hot entry that has not been used since the last one returns to the lists, so
// the cache follows a hot set that moves. When everything listed is gone the
// hot ones cool at once.

#ifndef HET_TF_KERNELS_CACHE_LIGHT_LFU_H_
#define HET_TF_KERNELS_CACHE_LIGHT_LFU_H_

#include <cstdint>
#include <vector>

#include "kernels/base/huge_pages.h"
#include "kernels/cache/eviction_policy.h"
#include "kernels/cache/frequency_lists.h"

namespace het {

class LightLfu final : public EvictionPolicy {
 public:
  explicit LightLfu(std::int64_t capacity);

  void Use(Span<const Entry> entries, std::int64_t apart) override;
  void UseApart(Span<const Entry> entries, std::vector<Entry>* rest) override;
  Entry Next() override;
  void Forget(Entry entry) override;
  std::int64_t memory_bytes() const override {
    return lists_.memory_bytes() +
           static_cast<std::int64_t>(states_.size() * sizeof(State));
  }

 private:
  // The count from which an entry is hot.
  static constexpr std::uint32_t kHot = 16;
  // A hot entry that has cooled starts again at this count.
  static constexpr std::uint32_t kCooled = kHot / 2;

  struct State {
    std::uint8_t hot : 1;
    std::uint8_t used : 1;    // since the last period; of hot entries
    std::uint8_t inside : 1;  // in the order; of hot entries
    State() : hot(false), used(false), inside(false) {}
  };
  static_assert(sizeof(State) == 1);

  void CoolUnused();

  const std::int64_t capacity_;
  std::int64_t uses_ = 0;
  FrequencyLists lists_;
  std::vector<State, HugePages<State>> states_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_LIGHT_LFU_H_
