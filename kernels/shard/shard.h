// Shard: the EmbeddingStore that holds rows. The server wraps one; the embedded
// mode and most tests use it directly.
//
// Ownership: it owns its tables for as long as it lives.
// Thread-safety: as EmbeddingStore says. Exchanges of different workers run in
// parallel; those of one worker run in sequence order, one at a time
// (WorkerOrder), on the thread that brought them or the one before them. A
// checkpoint's cut and the exchange of tables after a restore come between
// exchanges (Gate); files are read and written by a background job.
// Lock order: administration_mutex_, gate_, memory_mutex_, apply_mutex_, then all
// others; of those only mutex_ is held while another is taken, WorkerOrder's.

#ifndef HET_TF_KERNELS_SHARD_SHARD_H_
#define HET_TF_KERNELS_SHARD_SHARD_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/shard/background_job.h"
#include "kernels/shard/checkpoint_jobs.h"
#include "kernels/shard/gate.h"
#include "kernels/shard/kept_rows.h"
#include "kernels/shard/table.h"
#include "kernels/shard/worker_order.h"
#include "kernels/storage/push_log.h"
#include "kernels/store/embedding_store.h"

namespace het {

class Shard final : public EmbeddingStore {
 public:
  struct Options {
    // 0: drawn at random.
    Incarnation incarnation = 0;
    // How many exchanges of one worker may be under way at once.
    std::uint64_t window = 4096;
    // After how long without an exchange a worker's record is dropped, when
    // another worker comes: it is gone. If it is not, its next exchange waits for
    // those before it, in vain, until the worker's deadline.
    std::chrono::milliseconds worker_expiry = std::chrono::hours(24);
    // An exchange (of a large one, a piece) whose reply could be larger is refused
    // before any of it is applied.
    std::size_t max_reply_bytes = std::size_t{1} << 30;
    // What a checkpoint may keep of rows that change before they are written,
    // and how long a push waits for the disk when it is more: then the checkpoint
    // is given up.
    std::size_t max_kept_bytes = std::size_t{64} << 20;
    std::chrono::milliseconds disk_patience{2000};
    // Where the shard keeps a log of what changes its rows (PushLog); empty: it
    // keeps none, and a restart is another incarnation without any row.
    std::string log_directory;
    Durability durability = Durability::kPageCache;
    // What more than that would need is refused with RESOURCE_EXHAUSTED.
    std::size_t max_tables = 65536;
    std::size_t max_dimension = kMaxDimension;
    std::size_t max_workers = 65536;
    // Of all rows, with slots, clocks and index; 0: no limit. An exchange (a piece)
    // or an Assign that would create rows beyond it is refused whole; reads, and pushes
    // to rows that are there, go on. A restore has its rows beside the old ones for
    // a while.
    std::size_t max_memory_bytes = 0;
  };

  Shard();
  // REQUIRES: no log.
  explicit Shard(const Options& options);
  // Brings the shard back that has kept the log, if there was one: the same
  // incarnation with every update that was acknowledged, for which a restart is
  // a pause. DATA_LOSS: the log is damaged.
  static Result<std::shared_ptr<Shard>> Open(const Options& options);

  Incarnation incarnation() const { return incarnation_; }

  // A refused exchange takes its number all the same, so that those behind it
  // go on; its repeat is refused again.
  void Exchange(const ExchangeRequest& request, ExchangeDone done) override;
  Status CreateTable(const TableSpec& spec) override;
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override;
  Result<std::vector<ShardStats>> Stats() override;
  Result<CheckpointProgress> Snapshot(const SnapshotRequest& request) override;
  Result<CheckpointProgress> Restore(const RestoreRequest& request) override;
  // Forgets a table and its rows. NOT_FOUND: there is none;
  // FAILED_PRECONDITION: a checkpoint is being written or read.
  Status DropTable(const std::string& name);
  Traffic traffic() const override { return {}; }

  // Before a stop: answers every exchange that waits for its turn with
  // UNAVAILABLE, and those that would have to from now on.
  void Close();

 private:
  // What has been granted to rows that an exchange may make, until it has.
  class NewRows {
   public:
    NewRows() = default;
    ~NewRows() { Release(); }
    NewRows(const NewRows&) = delete;
    NewRows& operator=(const NewRows&) = delete;

   private:
    friend class Shard;
    void Hold(Shard* shard, std::size_t bytes) {
      shard_ = shard;
      bytes_ = bytes;
    }
    void Release();
    Shard* shard_ = nullptr;
    std::size_t bytes_ = 0;
  };
  // RESOURCE_EXHAUSTED when the rows of all tables, with those of `ids[t]` that
  // `tables[t]` does not have and what has been granted to others, would take more
  // than they may.
  Status CheckMemory(const std::vector<std::shared_ptr<Table>>& tables,
                     const std::vector<Span<const RowId>>& ids, NewRows* room)
      HET_EXCLUDES(memory_mutex_);
  // Null when there is no such table.
  std::shared_ptr<Table> FindTable(TableId id) const;
  // Null when there are as many as there may be.
  std::shared_ptr<WorkerOrder> FindWorker(Incarnation worker);
  // Executes it and has its number noted.
  Result<ExchangeReply> Take(const ExchangeRequest& request, WorkerOrder& order,
                             bool repeated);
  Result<ExchangeReply> Execute(const ExchangeRequest& request, bool repeated);
  Status ApplyPushes(const ExchangeRequest& request,
                     const std::vector<std::shared_ptr<Table>>& tables)
      HET_EXCLUDES(apply_mutex_);
  Status CheckReplySize(const ExchangeRequest& request,
                        const std::vector<std::shared_ptr<Table>>& tables) const;

  std::vector<std::shared_ptr<Table>> AllTables() const;
  // FAILED_PRECONDITION while a checkpoint is being written or restored.
  Status CheckIdle() const HET_REQUIRES(administration_mutex_);
  // The last job's checkpoint, if it has been written; else empty.
  std::string last_snapshot() const HET_REQUIRES(administration_mutex_);
  // FAILED_PRECONDITION when the table is there with another spec.
  Status CheckFits(const TableSpec& spec) const;
  // Puts what has been loaded in the place of all tables.
  Status ReplaceTables() HET_REQUIRES(administration_mutex_);

  class Recovery;
  // Refusals that are remembered, into a segment that has just begun: those before
  // it may go.
  Status LogRefusals();
  // What a segment of the log begins with. REQUIRES: no exchange is under way.
  LogHead Head(const std::vector<std::shared_ptr<Table>>& tables) const;
  // Waits until what has been appended is durable.
  Status AwaitDurable() const;

  Incarnation incarnation_;  // as it is once the shard is open
  const std::uint64_t window_;
  const std::chrono::milliseconds worker_expiry_;
  const std::size_t max_reply_bytes_;
  const std::size_t max_tables_;
  const std::size_t max_dimension_;
  const std::size_t max_workers_;
  const std::size_t max_memory_bytes_;
  const std::chrono::steady_clock::time_point started_;
  std::atomic<std::int64_t> exchanges_{0};
  std::atomic<std::int64_t> repeated_{0};
  Mutex administration_mutex_;  // one administrative call at a time
  mutable Mutex mutex_;
  std::unordered_map<TableId, std::shared_ptr<Table>> tables_
      HET_GUARDED_BY(mutex_);
  std::unordered_map<Incarnation, std::shared_ptr<WorkerOrder>> workers_
      HET_GUARDED_BY(mutex_);
  bool closed_ HET_GUARDED_BY(mutex_) = false;
  Gate gate_;
  KeptRows kept_;
  std::unique_ptr<PushLog> log_;  // null: none
  Mutex apply_mutex_;  // with a log: one exchange's pushes at a time
  Mutex memory_mutex_;  // with a limit of memory: one decision about it at a time
  std::size_t granted_bytes_ HET_GUARDED_BY(memory_mutex_) = 0;
  // While a log is replayed, whose rows have been taken once: no limit is asked.
  bool replaying_ = false;
  LogBase restored_ HET_GUARDED_BY(administration_mutex_);  // files of loaded_
  std::uint64_t job_call_ HET_GUARDED_BY(administration_mutex_) = 0;
  std::string job_name_ HET_GUARDED_BY(administration_mutex_);
  // What the last job has written; empty unless it was a snapshot.
  std::string snapshot_name_ HET_GUARDED_BY(administration_mutex_);
  // What it has read, until the commit.
  std::optional<LoadedTables> loaded_ HET_GUARDED_BY(administration_mutex_);
  // Last: it uses the rest.
  std::unique_ptr<BackgroundJob> job_ HET_GUARDED_BY(administration_mutex_);
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_SHARD_H_
