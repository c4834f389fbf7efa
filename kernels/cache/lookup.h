// Lookup: reads the rows of a batch (HET, "Read(K)").
//
// For every distinct id: not cached -> fetch; used up by own writes -> push and
// fetch; in flight for somebody else -> wait for that flight; else -> validate
// (nothing to ask when staleness is unbounded). What asks anything goes out as
// one exchange, or several when it is much, with the pushes that are due. Then
// the rows are gathered. Pushes alone are not waited for.
//
// A batch that was asked for ahead (prefetch.h) is not asked for again, unless
// more commits have come between than it was meant for: its lookup waits for
// what was under way then, and gathers.

#ifndef HET_TF_KERNELS_CACHE_LOOKUP_H_
#define HET_TF_KERNELS_CACHE_LOOKUP_H_

#include <functional>
#include <memory>
#include <vector>

#include "kernels/cache/batch.h"
#include "kernels/cache/cache_core.h"
#include "kernels/cache/operation.h"

namespace het {

class Lookup final : public Operation,
                     public std::enable_shared_from_this<Lookup> {
 public:
  // `batch` has the distinct ids of the parts: a new one, or a staged one that
  // has been claimed. The rows go to the parts, or, when it is not null, those
  // of the distinct ids to `distinct_rows`.
  Lookup(std::shared_ptr<Batch> batch, Span<const LookupPart> parts,
         ReadMode mode, std::function<void(Status)> done,
         float* distinct_rows = nullptr);

  bool Advance(CacheCore& core) override HET_REQUIRES(core.mutex);

 private:
  // Uses what was asked for ahead. False: it is too old.
  bool TakeOver(CacheCore& core) HET_REQUIRES(core.mutex);
  // False when a row is in flight that must land before it is asked for.
  bool Ask(CacheCore& core) HET_REQUIRES(core.mutex);
  void Gather(CacheCore& core) HET_REQUIRES(core.mutex);

  const std::shared_ptr<Batch> batch_;
  const std::vector<LookupPart> parts_;
  const ReadMode mode_;
  float* const distinct_rows_;
  bool asked_ = false;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_LOOKUP_H_
