// The long halves of Shard's Snapshot and Restore, which run as background jobs:
// the rows of a cut into a file, and the rows of a chain of checkpoints into
// tables.
//
// Ownership and thread-safety: plain functions; the tables of a cut are in use
// meanwhile, those that are read belong to the caller.

#ifndef HET_TF_KERNELS_SHARD_CHECKPOINT_JOBS_H_
#define HET_TF_KERNELS_SHARD_CHECKPOINT_JOBS_H_

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/shard/background_job.h"
#include "kernels/shard/kept_rows.h"
#include "kernels/shard/table.h"
#include "kernels/storage/push_log.h"
#include "kernels/store/checkpoint.h"

namespace het {

struct TableCut {
  std::shared_ptr<Table> table;
  bool whole;
};

// Writes the shard's file of the checkpoint and ends the snapshot of every table,
// whatever happens. RESOURCE_EXHAUSTED: the disk is full, or too slow (KeptRows).
Status WriteSnapshot(const SnapshotRequest& request,
                     const std::vector<TableCut>& cuts, const KeptRows& kept,
                     BackgroundJob& job);

using LoadedTables = std::unordered_map<TableId, std::shared_ptr<Table>>;

// The files in which the rows of the request's shard are, in order.
std::vector<std::string> FilesOf(const RestoreRequest& request);

// Reads the shard's rows from the files, later ones over earlier ones. check(spec)
// may refuse a table as soon as it is met; a job is told how far it is.
Result<LoadedTables> ReadRows(
    const LogBase& from, const std::function<Status(const TableSpec&)>& check,
    BackgroundJob* job);

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_CHECKPOINT_JOBS_H_
