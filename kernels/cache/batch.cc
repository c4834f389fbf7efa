#include "kernels/cache/batch.h"

#include <utility>

namespace het {

std::shared_ptr<Batch> BatchPool::Take() {
  std::unique_ptr<Batch> batch;
  {
    MutexLock lock(&free_->mutex);
    if (!free_->batches.empty()) {
      batch = std::move(free_->batches.back());
      free_->batches.pop_back();
    }
  }
  if (batch == nullptr) batch = std::make_unique<Batch>();
  batch->entries.clear();
  batch->open = false;
  batch->claimed = false;
  batch->staged = false;
  return std::shared_ptr<Batch>(
      batch.release(), [weak = std::weak_ptr<Free>(free_)](Batch* used) {
        std::unique_ptr<Batch> owned(used);
        const std::shared_ptr<Free> free = weak.lock();
        if (free == nullptr) return;
        MutexLock lock(&free->mutex);
        if (free->batches.size() < kKept) {
          free->batches.push_back(std::move(owned));
        }
      });
}

}  // namespace het
