// UniqueIds: the distinct ids of a batch, in order of first occurrence, and for
// every position of the batch which of them stands there.
//
// A scratch object: Begin() reuses its memory. Not thread-safe.

#ifndef HET_TF_KERNELS_CACHE_UNIQUE_IDS_H_
#define HET_TF_KERNELS_CACHE_UNIQUE_IDS_H_

#include <cstdint>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/types.h"

namespace het {

class UniqueIds {
 public:
  // A new batch of `size` ids, which Add gives, piece by piece.
  // REQUIRES: size < 2^32.
  void Begin(std::size_t size);
  void Add(Span<const RowId> ids);

  // True when the batch is these ids.
  bool IsOf(Span<const RowId> ids) const {
    return ids.size() == inverse_.size() && Has(ids, 0);
  }
  // True when these ids stand in the batch from a position on.
  // REQUIRES: it has as many from there.
  bool Has(Span<const RowId> ids, std::size_t position) const;

  const std::vector<RowId>& ids() const { return ids_; }
  // inverse()[i] is the position in ids() of the id at position i of the batch.
  const std::vector<std::uint32_t>& inverse() const { return inverse_; }

  // Where the distinct id u stands in the batch, in ascending order:
  // positions()[k] for k in [begin(u), begin(u + 1)). REQUIRES: Invert() since
  // the last Add.
  void Invert();
  std::uint32_t begin(std::size_t u) const { return begins_[u]; }
  const std::vector<std::uint32_t>& positions() const { return positions_; }

 private:
  std::vector<RowId> ids_;
  std::vector<std::uint32_t> inverse_;
  std::vector<std::uint32_t> buckets_;  // position in ids_ plus 1; 0: empty
  std::vector<std::uint32_t> begins_;
  std::vector<std::uint32_t> positions_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_UNIQUE_IDS_H_
