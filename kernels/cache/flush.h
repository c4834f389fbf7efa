// Flush: pushes every pending gradient and waits until the store has
// acknowledged these and all that were sent before.

#ifndef HET_TF_KERNELS_CACHE_FLUSH_H_
#define HET_TF_KERNELS_CACHE_FLUSH_H_

#include <functional>
#include <memory>
#include <utility>

#include "kernels/cache/cache_core.h"
#include "kernels/cache/operation.h"

namespace het {

class Flush final : public Operation,
                    public std::enable_shared_from_this<Flush> {
 public:
  explicit Flush(std::function<void(Status)> done)
      : Operation(std::move(done)) {}

  bool Advance(CacheCore& core) override HET_REQUIRES(core.mutex) {
    if (sent_) return true;
    if (core.JoinAllDirty(shared_from_this())) return false;
    auto flight = std::make_shared<Flight>();
    core.PushAll(flight.get());
    core.Send(std::move(flight), shared_from_this());
    core.JoinAllSent(shared_from_this());
    sent_ = true;
    return waits_for == 0;
  }

 private:
  bool sent_ = false;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_FLUSH_H_
