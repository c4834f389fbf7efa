// Lookup: reads the rows of a batch (HET, "Read(K)").
//
// For every distinct id: not cached -> fetch; used up by own writes -> push and
// fetch; in flight for somebody else -> wait for that flight; else -> validate
// (nothing to ask when staleness is unbounded). What asks anything goes out as
// one exchange, or several when it is much, with the pushes that are due. Then
// the rows are gathered. Pushes alone are not waited for.

#ifndef HET_TF_KERNELS_CACHE_LOOKUP_H_
#define HET_TF_KERNELS_CACHE_LOOKUP_H_

#include <functional>
#include <memory>
#include <vector>

#include "kernels/cache/cache_core.h"
#include "kernels/cache/operation.h"
#include "kernels/cache/unique_ids.h"

namespace het {

class Lookup final : public Operation,
                     public std::enable_shared_from_this<Lookup> {
 public:
  Lookup(Span<const RowId> ids, ReadMode mode, float* rows,
         std::function<void(Status)> done);

  bool Advance(CacheCore& core) override HET_REQUIRES(core.mutex);

 private:
  // False when a row is in flight that must land before it is asked for.
  bool Classify(CacheCore& core) HET_REQUIRES(core.mutex);
  void Gather(CacheCore& core) HET_REQUIRES(core.mutex);

  const ReadMode mode_;
  float* const rows_;
  UniqueIds unique_;
  std::vector<Entries::Entry> entries_;  // of the distinct ids
  bool classified_ = false;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_LOOKUP_H_
