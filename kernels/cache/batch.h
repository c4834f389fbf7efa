// Batch: the distinct ids of one call and their entries; and the pool that
// keeps what batches have allocated for the next ones.
//
// A lookup makes one, or takes over that of a prefetch; its update uses it
// again. Ownership: shared; a batch goes back to its pool with its last owner,
// and may outlive the pool. Thread-safety: BatchPool may be used from any
// thread; a batch is used under the cache's lock, but for `unique`, whose ids
// nobody changes once the batch is shared, and which only the update that has
// claimed it inverts.

#ifndef HET_TF_KERNELS_CACHE_BATCH_H_
#define HET_TF_KERNELS_CACHE_BATCH_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/cache/entries.h"
#include "kernels/cache/unique_ids.h"

namespace het {

struct Batch {
  UniqueIds unique;
  std::vector<Entries::Entry> entries;  // of unique.ids()
  // The numbers of those that Find has not pinned.
  std::vector<std::uint32_t> rest;
  bool open = false;     // a training lookup whose commit has not come yet
  bool claimed = false;  // an update has taken it

  // Of a batch that was asked for ahead of its lookup.
  bool staged = false;            // the lookup has not begun
  int ahead = 0;                  // commits that may lie between the two
  std::int64_t staged_at = 0;     // commits before it was asked for
  std::uint64_t last_flight = 0;  // with it, and those before, the rows arrive
};

class BatchPool {
 public:
  // An empty one.
  std::shared_ptr<Batch> Take();

 private:
  // More than that are not kept: a batch may be large.
  static constexpr std::size_t kKept = 4;

  struct Free {
    Mutex mutex;
    std::vector<std::unique_ptr<Batch>> batches HET_GUARDED_BY(mutex);
  };
  const std::shared_ptr<Free> free_ = std::make_shared<Free>();
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_BATCH_H_
