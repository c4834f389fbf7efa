// Update: one optimizer step on the rows of a batch (HET, "Write(K, G)").
//
// Duplicates are merged, each row is written once and ticks once; rows that are
// not resident are fetched in the same go. The commit closes the training
// lookups before it and evicts what overflows. At staleness 0, and without a
// cache, it also pushes what it wrote and waits for the store.

#ifndef HET_TF_KERNELS_CACHE_UPDATE_H_
#define HET_TF_KERNELS_CACHE_UPDATE_H_

#include <functional>
#include <memory>
#include <vector>

#include "kernels/cache/cache_core.h"
#include "kernels/cache/operation.h"
#include "kernels/cache/unique_ids.h"

namespace het {

class Update final : public Operation,
                     public std::enable_shared_from_this<Update> {
 public:
  Update(Span<const RowId> ids, const float* gradients, std::size_t dimension,
         float learning_rate, float scale, std::function<void(Status)> done);

  bool Advance(CacheCore& core) override HET_REQUIRES(core.mutex);

 private:
  enum class Stage { kCommit, kAfterFetch, kPushed };

  void Commit(CacheCore& core) HET_REQUIRES(core.mutex);
  // False when a written row is in flight and must land first.
  bool PushWritten(CacheCore& core) HET_REQUIRES(core.mutex);
  void Release(CacheCore& core) HET_REQUIRES(core.mutex);

  const float learning_rate_;
  UniqueIds unique_;
  std::vector<float> gradients_;  // of the distinct ids, merged and scaled
  std::vector<Entries::Entry> entries_;
  Stage stage_ = Stage::kCommit;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_UPDATE_H_
