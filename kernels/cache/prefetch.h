// Prefetch: asks ahead for the rows of batches that are going to be looked up
// for training, all in one exchange (or several when it is much) with the pushes
// that are due. It is done when that is sent; the batches stay staged, their
// rows pinned, until the lookups take them over (lookup.h).

#ifndef HET_TF_KERNELS_CACHE_PREFETCH_H_
#define HET_TF_KERNELS_CACHE_PREFETCH_H_

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cache/batch.h"
#include "kernels/cache/cache_core.h"
#include "kernels/cache/operation.h"

namespace het {

class Prefetch final : public Operation,
                       public std::enable_shared_from_this<Prefetch> {
 public:
  // The batches of the lookups of one step, each with its distinct ids.
  Prefetch(std::vector<std::shared_ptr<Batch>> batches, int ahead,
           std::function<void(Status)> done)
      : Operation(std::move(done)),
        batches_(std::move(batches)),
        ahead_(ahead) {}

  bool Advance(CacheCore& core) override HET_REQUIRES(core.mutex) {
    for (const auto& batch : batches_) {
      core.Find(batch.get(), ReadMode::kTraining, shared_from_this());
    }
    if (waits_for > 0) return false;
    Flights flights;
    for (const auto& batch : batches_) {
      // The batch before may have made rows of this one.
      if (batch != batches_.front()) core.FindAll(batch.get());
      core.Ask(batch.get(), ReadMode::kTraining, &flights, nullptr);
    }
    core.SendWithDue(std::move(flights), nullptr);
    const std::size_t most =
        (static_cast<std::size_t>(ahead_) + 1) * batches_.size();
    for (auto& batch : batches_) core.Stage(std::move(batch), ahead_, most);
    return true;
  }

 private:
  std::vector<std::shared_ptr<Batch>> batches_;
  const int ahead_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_PREFETCH_H_
