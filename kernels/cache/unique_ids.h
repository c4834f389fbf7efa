// UniqueIds: the distinct ids of a batch, in order of first occurrence, and for
// every position of the batch which of them stands there.
//
// Large batches are shared by an executor's threads; what comes out does not depend
// on how many there are. A scratch object: Begin() reuses its memory. Not
// thread-safe.

#ifndef HET_TF_KERNELS_CACHE_UNIQUE_IDS_H_
#define HET_TF_KERNELS_CACHE_UNIQUE_IDS_H_

#include <cstdint>
#include <vector>

#include "kernels/base/parallel.h"
#include "kernels/base/span.h"
#include "kernels/base/types.h"

namespace het {

class UniqueIds {
 public:
  // A new batch of `size` ids, which Add gives, piece by piece, and Number numbers.
  // REQUIRES: size < 2^32.
  void Begin(std::size_t size);
  void Add(Span<const RowId> ids) {
    given_.insert(given_.end(), ids.begin(), ids.end());
  }
  void Number(const Executor& executor = {});

  // True when the batch is these ids.
  bool IsOf(Span<const RowId> ids) const {
    return ids.size() == given_.size() && Has(ids, 0);
  }
  // True when these ids stand in the batch from a position on.
  // REQUIRES: it has as many from there.
  bool Has(Span<const RowId> ids, std::size_t position) const;

  // Of those that are numbered.
  const std::vector<RowId>& ids() const { return ids_; }
  // inverse()[i] is the position in ids() of the id at position i of the batch.
  const std::vector<std::uint32_t>& inverse() const { return inverse_; }

  // Where the distinct id u stands in the batch, in ascending order:
  // positions()[k] for k in [begin(u), begin(u + 1)). REQUIRES: Invert() since
  // the last Number.
  void Invert(const Executor& executor = {});
  std::uint32_t begin(std::size_t u) const { return begins_[u]; }
  const std::vector<std::uint32_t>& positions() const { return positions_; }

 private:
  // For each of the ids whose hash falls to one of `shares`: inverse_ becomes the
  // position of its first occurrence.
  void FindFirst(std::size_t share, std::size_t shares);

  std::vector<RowId> given_;
  std::vector<RowId> ids_;
  std::vector<std::uint32_t> inverse_;
  // A hash table for each share, one after the other, of positions.
  std::vector<std::uint32_t> buckets_;
  std::vector<std::uint32_t> begins_;
  std::vector<std::uint32_t> positions_;
  // Where each of the ranges that Invert cuts the batch into puts its next one.
  std::vector<std::uint32_t> next_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_UNIQUE_IDS_H_
