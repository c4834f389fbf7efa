// Flush: pushes every pending gradient, one exchange of bounded size after the
// other, and waits until the store has acknowledged these and all that were
// sent before. What becomes dirty behind it is not its business.

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
    if (next_ == 0) end_ = core.end();
    auto flight = std::make_shared<Flight>();
    for (; next_ < end_ && !core.IsFull(*flight); ++next_) {
      if (!core.IsDirty(next_)) continue;
      if (core.state(next_).flight == 0) {
        core.Push(next_, flight.get());
      } else if (flight->empty()) {
        core.Join(next_, shared_from_this());
        return false;
      } else {
        break;
      }
    }
    if (next_ < end_) {
      core.Send(std::move(flight), shared_from_this());
      return false;
    }
    core.SendWithDue({std::move(flight)}, shared_from_this());
    core.JoinAllSent(shared_from_this());
    sent_ = true;
    return waits_for == 0;
  }

 private:
  Entries::Entry next_ = 0;  // those before it have been pushed
  Entries::Entry end_ = 0;
  bool sent_ = false;
};

}  // namespace het

#endif  // HET_TF_KERNELS_CACHE_FLUSH_H_
