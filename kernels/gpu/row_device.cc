#include "kernels/gpu/row_device.h"

#include <utility>
#include <vector>

#include "kernels/base/mutex.h"

namespace het {

Status RowDevice::KeepUntilDone(std::shared_ptr<const void> owner) {
  Status status = Then([owner] {});
  if (!status.ok()) {
    static Mutex mutex;
    static auto* const kept = new std::vector<std::shared_ptr<const void>>();
    MutexLock lock(&mutex);
    kept->push_back(std::move(owner));
  }
  return status;
}

}  // namespace het
