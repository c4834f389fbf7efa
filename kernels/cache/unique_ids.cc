#include "kernels/cache/unique_ids.h"

#include "kernels/base/hash.h"

namespace het {

void UniqueIds::Assign(Span<const RowId> ids) {
  std::size_t size = 16;
  while (size < 2 * ids.size()) size *= 2;
  buckets_.assign(size, 0);
  ids_.clear();
  inverse_.resize(ids.size());
  const std::size_t mask = size - 1;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::size_t b = Mix64(static_cast<std::uint64_t>(ids[i])) & mask;
    while (buckets_[b] != 0 && ids_[buckets_[b] - 1] != ids[i]) {
      b = (b + 1) & mask;
    }
    if (buckets_[b] == 0) {
      ids_.push_back(ids[i]);
      buckets_[b] = static_cast<std::uint32_t>(ids_.size());
    }
    inverse_[i] = buckets_[b] - 1;
  }
}

}  // namespace het
