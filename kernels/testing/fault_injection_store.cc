#include "kernels/testing/fault_injection_store.h"

#include <utility>

#include "kernels/base/hash.h"
#include "kernels/base/mutex.h"
#include "kernels/testing/owned_request.h"

namespace het {

struct FaultInjectionStore::Core : std::enable_shared_from_this<Core> {
  struct Fate {
    bool lost_before, lost_after, timed_out;
    std::chrono::microseconds delay;
  };

  Core(std::shared_ptr<EmbeddingStore> wrapped, const FaultOptions& with,
       std::shared_ptr<Timer> clock)
      : store(std::move(wrapped)),
        options(with),
        timer(std::move(clock)),
        bits(Mix64(with.seed)) {}

  bool Happens(int of_1000, std::int64_t* count) HET_REQUIRES(mutex) {
    bits = Mix64(bits + 1);
    const bool yes = static_cast<int>(bits % 1000) < of_1000;
    *count += yes ? 1 : 0;
    return yes;
  }

  Fate Draw(bool exchange) {
    MutexLock lock(&mutex);
    Fate fate{};
    fate.lost_before = Happens(options.lost_before, &counts.lost_before);
    if (fate.lost_before) return fate;
    fate.lost_after = Happens(options.lost_after, &counts.lost_after);
    if (!exchange) return fate;
    fate.timed_out = Happens(options.timed_out, &counts.timed_out);
    if (fate.timed_out || Happens(options.delayed, &counts.delayed)) {
      bits = Mix64(bits + 1);
      fate.delay = std::chrono::microseconds(
          1 + bits % static_cast<std::uint64_t>(options.longest_delay.count()));
    }
    return fate;
  }

  static Status LostBefore() {
    return Unavailable("injected: the request was lost");
  }
  static Status LostAfter() {
    return Unavailable("injected: the answer was lost");
  }

  // Runs a blocking call with its fate.
  template <typename Call>
  auto Disturb(Call call) -> decltype(call()) {
    const Fate fate = Draw(false);
    if (fate.lost_before) return LostBefore();
    auto answer = call();
    if (fate.lost_after) return LostAfter();
    return answer;
  }

  const std::shared_ptr<EmbeddingStore> store;
  const FaultOptions options;
  const std::shared_ptr<Timer> timer;
  mutable Mutex mutex;
  std::uint64_t bits HET_GUARDED_BY(mutex);
  FaultCounts counts HET_GUARDED_BY(mutex);
};

FaultInjectionStore::FaultInjectionStore(std::shared_ptr<EmbeddingStore> store,
                                         const FaultOptions& options,
                                         std::shared_ptr<Timer> timer)
    : core_(std::make_shared<Core>(std::move(store), options,
                                   std::move(timer))) {}

FaultCounts FaultInjectionStore::counts() const {
  MutexLock lock(&core_->mutex);
  return core_->counts;
}

void FaultInjectionStore::Exchange(const ExchangeRequest& request,
                                   ExchangeDone done) {
  const Core::Fate fate = core_->Draw(true);
  if (fate.lost_before) {
    done(Core::LostBefore(), {});
    return;
  }
  auto owned = std::make_shared<OwnedRequest>(request);
  if (fate.timed_out) {
    done(DeadlineExceeded("injected: no answer yet"), {});
    done = [](Status, ExchangeReply) {};
  }
  auto deliver = [core = core_, owned, lost = fate.lost_after,
                  done = std::move(done)] {
    core->store->Exchange(
        owned->request(),
        [owned, lost, done](Status status, ExchangeReply reply) {
          if (lost) {
            done(Core::LostAfter(), {});
          } else {
            done(std::move(status), std::move(reply));
          }
        });
  };
  if (fate.delay.count() > 0) {
    core_->timer->Schedule(fate.delay, std::move(deliver));
  } else {
    deliver();
  }
}

Status FaultInjectionStore::CreateTable(const TableSpec& spec) {
  return core_->Disturb([&] { return core_->store->CreateTable(spec); });
}

Status FaultInjectionStore::Assign(TableId table, Staleness staleness,
                                   Span<const RowId> ids,
                                   Span<const float> rows) {
  return core_->Disturb(
      [&] { return core_->store->Assign(table, staleness, ids, rows); });
}

Result<std::vector<ShardStats>> FaultInjectionStore::Stats() {
  return core_->store->Stats();
}

Result<CheckpointProgress> FaultInjectionStore::Snapshot(
    const SnapshotRequest& request) {
  return core_->Disturb([&] { return core_->store->Snapshot(request); });
}

Result<CheckpointProgress> FaultInjectionStore::Restore(
    const RestoreRequest& request) {
  return core_->Disturb([&] { return core_->store->Restore(request); });
}

Traffic FaultInjectionStore::traffic() const { return core_->store->traffic(); }

}  // namespace het
