#include "kernels/shard/kept_rows.h"

namespace het {

void KeptRows::Remove(std::size_t bytes) {
  if (bytes == 0) return;
  MutexLock lock(&mutex_);
  bytes_ -= bytes;
  removed_.NotifyAll();
}

void KeptRows::AwaitRoom() {
  if (bytes_ <= most_ || overrun_) return;
  const auto deadline = std::chrono::steady_clock::now() + patience_;
  MutexLock lock(&mutex_);
  while (bytes_ > most_) {
    if (!removed_.WaitUntil(&mutex_, deadline)) {
      if (bytes_ > most_) overrun_ = true;
      return;
    }
  }
}

}  // namespace het
