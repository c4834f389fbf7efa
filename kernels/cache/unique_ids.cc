#include "kernels/cache/unique_ids.h"

#include "kernels/base/hash.h"
#include "kernels/base/prefetch.h"

namespace het {

void UniqueIds::Begin(std::size_t size) {
  std::size_t buckets = 16;
  while (buckets < 2 * size) buckets *= 2;
  buckets_.assign(buckets, 0);
  ids_.clear();
  inverse_.clear();
  inverse_.reserve(size);
}

void UniqueIds::Add(Span<const RowId> ids) {
  const std::size_t mask = buckets_.size() - 1;
  const auto home = [mask](RowId id) {
    return Mix64(static_cast<std::uint64_t>(id)) & mask;
  };
  constexpr std::size_t kAhead = 16;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i + kAhead < ids.size()) {
      PrefetchLine(&buckets_[home(ids[i + kAhead])]);
    }
    const RowId id = ids[i];
    std::size_t b = home(id);
    while (buckets_[b] != 0 && ids_[buckets_[b] - 1] != id) b = (b + 1) & mask;
    if (buckets_[b] == 0) {
      ids_.push_back(id);
      buckets_[b] = static_cast<std::uint32_t>(ids_.size());
    }
    inverse_.push_back(buckets_[b] - 1);
  }
}

bool UniqueIds::Has(Span<const RowId> ids, std::size_t position) const {
  const std::uint32_t* inverse = inverse_.data() + position;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids_[inverse[i]] != ids[i]) return false;
  }
  return true;
}

void UniqueIds::Invert() {
  // A counting sort; begins_[u] runs ahead to the end of u while it is filled.
  begins_.assign(ids_.size() + 1, 0);
  for (const std::uint32_t u : inverse_) ++begins_[u];
  std::uint32_t sum = 0;
  for (std::uint32_t& begin : begins_) {
    const std::uint32_t count = begin;
    begin = sum;
    sum += count;
  }
  positions_.resize(inverse_.size());
  for (std::size_t i = 0; i < inverse_.size(); ++i) {
    positions_[begins_[inverse_[i]]++] = static_cast<std::uint32_t>(i);
  }
  for (std::size_t u = ids_.size(); u > 0; --u) begins_[u] = begins_[u - 1];
  begins_[0] = 0;
}

}  // namespace het
