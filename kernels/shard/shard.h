// Shard: the EmbeddingStore that holds rows. The server wraps one; the embedded
// mode and most tests use it directly.
//
// Ownership: it owns its tables for as long as it lives.
// Thread-safety: as EmbeddingStore says. Exchanges of different workers run in
// parallel; those of one worker run in sequence order, one at a time
// (WorkerOrder), on the thread that brought them or the one before them.
// Lock order: administration_mutex_ before all others; mutex_ and the locks of
// WorkerOrder and Table are never held together.

#ifndef HET_TF_KERNELS_SHARD_SHARD_H_
#define HET_TF_KERNELS_SHARD_SHARD_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/shard/table.h"
#include "kernels/shard/worker_order.h"
#include "kernels/store/embedding_store.h"

namespace het {

class Shard final : public EmbeddingStore {
 public:
  struct Options {
    // 0: drawn at random.
    Incarnation incarnation = 0;
    // How many exchanges of one worker may be under way at once.
    std::uint64_t window = 4096;
    // An exchange whose reply could be larger is refused before any of it is
    // applied.
    std::size_t max_reply_bytes = std::size_t{1} << 30;
  };

  Shard();
  explicit Shard(const Options& options);

  Incarnation incarnation() const { return incarnation_; }

  // A refused exchange takes its number all the same, so that those behind it
  // go on; its repeat is refused again.
  void Exchange(const ExchangeRequest& request, ExchangeDone done) override;
  Status CreateTable(const TableSpec& spec) override;
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override;
  Result<std::vector<ShardStats>> Stats() override;
  Traffic traffic() const override { return {}; }

  // Before a stop: answers every exchange that waits for its turn with
  // UNAVAILABLE, and those that would have to from now on.
  void Close();

 private:
  // Null when there is no such table.
  std::shared_ptr<Table> FindTable(TableId id) const;
  std::shared_ptr<WorkerOrder> FindWorker(Incarnation worker);
  Result<ExchangeReply> Execute(const ExchangeRequest& request, bool repeated);
  Status CheckReplySize(const ExchangeRequest& request,
                        const std::vector<std::shared_ptr<Table>>& tables) const;

  const Incarnation incarnation_;
  const std::uint64_t window_;
  const std::size_t max_reply_bytes_;
  const std::chrono::steady_clock::time_point started_;
  std::atomic<std::int64_t> exchanges_{0};
  std::atomic<std::int64_t> repeated_{0};
  Mutex administration_mutex_;  // one CreateTable or Assign at a time
  mutable Mutex mutex_;
  std::unordered_map<TableId, std::shared_ptr<Table>> tables_
      HET_GUARDED_BY(mutex_);
  std::unordered_map<Incarnation, std::shared_ptr<WorkerOrder>> workers_
      HET_GUARDED_BY(mutex_);
  bool closed_ HET_GUARDED_BY(mutex_) = false;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_SHARD_H_
