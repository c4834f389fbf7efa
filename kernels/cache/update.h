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

#include "kernels/cache/batch.h"
#include "kernels/cache/cache_core.h"
#include "kernels/cache/operation.h"

namespace het {

class Update final : public Operation,
                     public std::enable_shared_from_this<Update> {
 public:
  // `batch` has the distinct ids of the call, inverted: that of the open lookup
  // of the same ids, or one of its own. `gradients` are [ids, dimension].
  Update(std::shared_ptr<Batch> batch, const float* gradients,
         float learning_rate, float scale, std::function<void(Status)> done);

  bool Advance(CacheCore& core) override HET_REQUIRES(core.mutex);

 private:
  enum class Stage { kCommit, kAfterFetch, kPushed };

  // What is written stays in the cache, to be pushed later.
  static bool Stays(const CacheCore& core);
  void Commit(CacheCore& core) HET_REQUIRES(core.mutex);
  // False when a written row is in flight and must land first.
  bool PushWritten(CacheCore& core) HET_REQUIRES(core.mutex);

  const std::shared_ptr<Batch> batch_;
  const float* const gradients_;
  const float learning_rate_;
  const float scale_;
  Stage stage_ = Stage::kCommit;
  bool released_ = false;  // the pins were given back with the commit
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_UPDATE_H_
