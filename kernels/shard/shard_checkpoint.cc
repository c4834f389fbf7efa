// Shard's Snapshot and Restore: checks, the cut, and the exchange of tables; the
// long work between is in checkpoint_jobs.h.

#include <utility>

#include "kernels/shard/checkpoint_directory.h"
#include "kernels/shard/checkpoint_jobs.h"
#include "kernels/shard/shard.h"
#include "kernels/store/router.h"

namespace het {

Status Shard::CheckIdle() const {
  if (job_ == nullptr || job_->done()) return OkStatus();
  return FailedPrecondition("this shard is busy with ", job_name_,
                            ": wait until that is done");
}

Result<CheckpointProgress> Shard::Snapshot(const SnapshotRequest& request) {
  HET_RETURN_IF_ERROR(CheckCheckpointName(request.name));
  HET_RETURN_IF_ERROR(CheckDirectory(request.place));
  MutexLock administration(&administration_mutex_);
  if (job_ != nullptr && job_call_ == request.call) return job_->progress();
  if (!request.begin) {
    return FailedPrecondition("checkpoint '", request.name, "' is not being "
                              "written at this shard: it has been restarted "
                              "meanwhile; write another one");
  }
  HET_RETURN_IF_ERROR(CheckIdle());
  if (!request.base.empty() && request.base != last_snapshot()) {
    return FailedPrecondition(
        "this shard cannot tell what has changed since checkpoint '",
        request.base, "': ",
        last_snapshot().empty() ? "it has written none since it started, or the "
                                  "last one failed"
                                : "the last that it has written is '" +
                                      last_snapshot() + "'",
        "; write a full one");
  }
  kept_.Begin();
  std::vector<TableCut> cuts;
  std::uint64_t segment = 0;
  {
    const Gate::Shut alone(&gate_);
    std::vector<std::shared_ptr<Table>> tables = AllTables();
    if (log_ != nullptr) {
      const Result<std::uint64_t> begun = log_->Begin(Head(tables));
      HET_RETURN_IF_ERROR(begun.status());
      HET_RETURN_IF_ERROR(LogRefusals());
      segment = *begun;
    }
    for (auto& table : tables) {
      const bool whole = table->Cut(request.base.empty(), &kept_);
      cuts.push_back({std::move(table), whole});
    }
  }
  job_call_ = request.call;
  job_name_ = "checkpoint '" + request.name + "'";
  snapshot_name_ = request.name;
  loaded_.reset();
  job_ = std::make_unique<BackgroundJob>(
      [this, request, segment, cuts = std::move(cuts)](BackgroundJob& job) {
        HET_RETURN_IF_ERROR(WriteSnapshot(request, cuts, kept_, job));
        if (log_ == nullptr) return OkStatus();
        const CheckpointPlace& place = request.place;
        LogBase base{{}, place.shard, place.shards};
        if (!request.base.empty()) base.files = log_->base().files;
        base.files.push_back(ShardFile(place.directory, request.name,
                                       place.shard, place.shards));
        return log_->SetBase(segment, base);
      });
  return job_->progress();
}

std::string Shard::last_snapshot() const {
  if (job_ == nullptr) return {};
  const auto progress = job_->progress();
  return progress.ok() && progress->done ? snapshot_name_ : std::string();
}

Result<CheckpointProgress> Shard::Restore(const RestoreRequest& request) {
  if (request.chain.empty()) {
    return InvalidArgument("a restore needs the name of a checkpoint");
  }
  for (const RestoreRequest::Part& part : request.chain) {
    HET_RETURN_IF_ERROR(CheckCheckpointName(part.name));
    if (part.shards < 1 || part.shards > kPartitions) {
      return InvalidArgument("checkpoint '", part.name, "' cannot have ",
                             part.shards, " shards, expected 1 to ",
                             kPartitions);
    }
  }
  HET_RETURN_IF_ERROR(CheckDirectory(request.place));
  MutexLock administration(&administration_mutex_);
  if (job_ != nullptr && job_call_ == request.call) {
    const auto progress = job_->progress();
    if (progress.ok() && progress->done && request.commit && loaded_) {
      HET_RETURN_IF_ERROR(ReplaceTables());
    }
    return progress;
  }
  // Also for a commit: a shard that has been restarted reads them again.
  HET_RETURN_IF_ERROR(CheckIdle());
  job_call_ = request.call;
  job_name_ = "restoring checkpoint '" + request.chain.back().name + "'";
  snapshot_name_.clear();
  loaded_.reset();
  restored_ = {FilesOf(request), request.place.shard, request.place.shards};
  job_ = std::make_unique<BackgroundJob>([this, from = restored_](
                                             BackgroundJob& job) {
    auto tables = ReadRows(
        from, [this](const TableSpec& spec) { return CheckFits(spec); }, &job);
    HET_RETURN_IF_ERROR(tables.status());
    std::size_t bytes = 0;
    for (const auto& [id, table] : *tables) bytes += table->BytesOfRows();
    if (max_memory_bytes_ > 0 && bytes > max_memory_bytes_) {
      return ResourceExhausted("the checkpoint's rows take ", bytes,
                               " bytes at this shard, its --max-memory is ",
                               max_memory_bytes_,
                               ": raise it, or restore to more shards");
    }
    MutexLock lock(&administration_mutex_);
    loaded_ = std::move(tables).Take();
    return OkStatus();
  });
  return job_->progress();
}

Status Shard::CheckFits(const TableSpec& spec) const {
  const std::shared_ptr<Table> table = FindTable(spec.id());
  if (table == nullptr) return OkStatus();
  const Status same = CheckSameSpec(table->spec(), spec);
  return same.ok() ? OkStatus()
                   : FailedPrecondition(
                         "the checkpoint is of another model: ", same.message());
}

Status Shard::ReplaceTables() {
  LoadedTables tables = *loaded_;
  for (const auto& table : AllTables()) {
    const TableSpec& spec = table->spec();
    std::shared_ptr<Table>& restored = tables[spec.id()];
    if (restored != nullptr) {
      HET_RETURN_IF_ERROR(CheckFits(restored->spec()));
      if (!BringsOptimizer(restored->spec(), spec)) continue;
    }
    // Of a table that the checkpoint does not know every row is as new; one
    // that was saved before it had an optimizer has it now.
    auto created = Table::Create(spec);
    HET_RETURN_IF_ERROR(created.status());
    if (restored != nullptr) (*created)->TakeRows(*restored);
    restored = std::move(created).Take();
  }
  const Gate::Shut alone(&gate_);
  if (log_ != nullptr) {
    std::vector<std::shared_ptr<Table>> all;
    for (const auto& [id, table] : tables) all.push_back(table);
    const Result<std::uint64_t> begun = log_->Begin(Head(all));
    HET_RETURN_IF_ERROR(begun.status());
    HET_RETURN_IF_ERROR(LogRefusals());
    HET_RETURN_IF_ERROR(log_->SetBase(*begun, restored_));
  }
  {
    MutexLock lock(&mutex_);
    tables_.swap(tables);
  }
  loaded_.reset();
  return OkStatus();
}

std::vector<std::shared_ptr<Table>> Shard::AllTables() const {
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<Table>> tables;
  for (const auto& [id, table] : tables_) tables.push_back(table);
  return tables;
}

}  // namespace het
