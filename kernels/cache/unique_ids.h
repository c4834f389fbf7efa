// UniqueIds: the distinct ids of a batch, in order of first occurrence, and for
// every position of the batch which of them stands there.
//
// A scratch object: Assign() reuses its memory. Not thread-safe.

#ifndef HET_TF_KERNELS_CACHE_UNIQUE_IDS_H_
#define HET_TF_KERNELS_CACHE_UNIQUE_IDS_H_

#include <cstdint>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/types.h"

namespace het {

class UniqueIds {
 public:
  // REQUIRES: ids.size() < 2^32.
  void Assign(Span<const RowId> ids);

  const std::vector<RowId>& ids() const { return ids_; }
  // inverse()[i] is the position in ids() of the id at position i of the batch.
  const std::vector<std::uint32_t>& inverse() const { return inverse_; }

 private:
  std::vector<RowId> ids_;
  std::vector<std::uint32_t> inverse_;
  std::vector<std::uint32_t> buckets_;  // position in ids_ plus 1; 0: empty
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_UNIQUE_IDS_H_
