#include "kernels/shard/checkpoint_jobs.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/shard/checkpoint_directory.h"
#include "kernels/storage/checkpoint_file.h"
#include "kernels/store/router.h"

namespace het {
namespace {

// Of rows in a block of a file: a stripe is locked for as long as copying them
// takes.
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

Status Stopped() { return Cancelled("the shard is stopping"); }

Status WriteTables(const SnapshotRequest& request,
                   const std::vector<TableCut>& cuts, const KeptRows& kept,
                   BackgroundJob& job) {
  const CheckpointPlace& place = request.place;
  const std::string directory = place.directory + "/" + request.name;
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return FailedPrecondition("cannot create ", directory, ": ",
                              std::strerror(errno));
  }
  auto created = CheckpointWriter::Create(
      ShardFile(place.directory, request.name, place.shard, place.shards));
  HET_RETURN_IF_ERROR(created.status());
  CheckpointWriter& writer = **created;
  for (const TableCut& cut : cuts) {
    HET_RETURN_IF_ERROR(
        writer.AddTable({cut.table->spec(), cut.table->slots(), cut.whole}));
  }
  RowBlock block;
  const auto write = [&](const Table& table) -> Status {
    if (job.stopping()) return Stopped();
    HET_RETURN_IF_ERROR(writer.AddRows(table.spec().id(), block));
    job.Report(writer.rows(), writer.bytes());
    return OkStatus();
  };
  const auto write_kept = [&]() -> Status {
    for (const TableCut& cut : cuts) {
      while (cut.table->TakeKept(&block)) {
        HET_RETURN_IF_ERROR(write(*cut.table));
      }
    }
    return OkStatus();
  };
  for (const TableCut& cut : cuts) {
    while (cut.table->TakeMarked(&block, kBlockBytes)) {
      HET_RETURN_IF_ERROR(write(*cut.table));
      // Of all tables: pushes wait for this memory.
      if (kept.bytes() > 0) HET_RETURN_IF_ERROR(write_kept());
    }
  }
  // Nothing is marked any more: what is kept now is the rest.
  HET_RETURN_IF_ERROR(write_kept());
  if (kept.overrun()) {
    return ResourceExhausted(
        "checkpoint '", request.name, "' has been given up: training changed "
        "rows faster than the disk took them, and it does not wait for a disk; "
        "use a faster one, or more shards");
  }
  HET_RETURN_IF_ERROR(writer.Finish());
  job.Report(writer.rows(), writer.bytes());
  return OkStatus();
}

class Loader {
 public:
  // A job may be told how far it is, and stop it; null: nobody.
  Loader(std::size_t shard, std::size_t shards,
         const std::function<Status(const TableSpec&)>& check,
         BackgroundJob* job)
      : shard_(shard), router_(shards), check_(check), job_(job) {}

  Status LoadFile(const std::string& path) {
    auto opened = CheckpointReader::Open(path);
    HET_RETURN_IF_ERROR(opened.status());
    CheckpointReader& reader = **opened;
    while (true) {
      if (job_ != nullptr && job_->stopping()) return Stopped();
      const auto item = reader.Next();
      HET_RETURN_IF_ERROR(item.status());
      if (*item == CheckpointReader::Item::kEnd) break;
      if (*item == CheckpointReader::Item::kTable) {
        HET_RETURN_IF_ERROR(LoadTable(reader.table()).WithContext(path));
      } else {
        HET_RETURN_IF_ERROR(LoadRows(reader.table(), reader.rows()));
      }
      if (job_ != nullptr) job_->Report(rows_, bytes_ + reader.bytes());
    }
    bytes_ += reader.bytes();
    return OkStatus();
  }

  LoadedTables TakeTables() { return std::move(tables_); }

 private:
  Status LoadTable(const TableRecord& record) {
    std::shared_ptr<Table>& table = tables_[record.spec.id()];
    if (table == nullptr) {
      if (!record.whole) {
        return FailedPrecondition(
            "it has the changed rows of table '", record.spec.name,
            "' alone, and the checkpoint that it builds on is not in the chain");
      }
      HET_RETURN_IF_ERROR(check_(record.spec));
      auto created = Table::Create(record.spec);
      HET_RETURN_IF_ERROR(created.status());
      table = std::move(created).Take();
    } else {
      HET_RETURN_IF_ERROR(CheckSameSpec(table->spec(), record.spec));
      if (BringsOptimizer(table->spec(), record.spec)) {
        auto created = Table::Create(record.spec);
        HET_RETURN_IF_ERROR(created.status());
        (*created)->TakeRows(*table);
        table = std::move(created).Take();
      }
    }
    if (record.slots != 0 && record.slots != table->slots()) {
      return FailedPrecondition(
          "table '", record.spec.name, "' has ", record.slots,
          " floats of optimizer state per row there, ", table->slots(),
          " in this het_tf: use the version that wrote it");
    }
    return OkStatus();
  }

  Status LoadRows(const TableRecord& record, const RowBlock& rows) {
    Select(record, rows);
    const std::size_t own = selected_.ids.size();
    Table& table = *tables_.at(record.spec.id());
    HET_RETURN_IF_ERROR(table.Reserve(own));
    table.Load(selected_);
    table.Release(own);
    rows_ += own;
    return OkStatus();
  }

  // The rows that are this shard's.
  void Select(const TableRecord& record, const RowBlock& rows) {
    const std::size_t dimension = record.spec.dimension;
    selected_.clear();
    for (std::size_t i = 0; i < rows.ids.size(); ++i) {
      if (router_.ShardOf(rows.ids[i]) != shard_) continue;
      selected_.Append(rows.ids[i], rows.clocks[i],
                       {rows.values.data() + i * dimension, dimension},
                       {rows.slots.data() + i * record.slots, record.slots});
    }
  }

  const std::size_t shard_;
  const Router router_;
  const std::function<Status(const TableSpec&)>& check_;
  BackgroundJob* const job_;
  LoadedTables tables_;
  RowBlock selected_;
  std::uint64_t rows_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Status WriteSnapshot(const SnapshotRequest& request,
                     const std::vector<TableCut>& cuts, const KeptRows& kept,
                     BackgroundJob& job) {
  Status status = WriteTables(request, cuts, kept, job);
  for (const TableCut& cut : cuts) cut.table->EndSnapshot();
  return status;
}

std::vector<std::string> FilesOf(const RestoreRequest& request) {
  const CheckpointPlace& place = request.place;
  std::vector<std::string> files;
  for (const RestoreRequest::Part& part : request.chain) {
    for (const std::size_t file :
         FilesWithRowsOf(place.shard, place.shards, part.shards)) {
      files.push_back(ShardFile(place.directory, part.name, file, part.shards));
    }
  }
  return files;
}

Result<LoadedTables> ReadRows(
    const LogBase& from, const std::function<Status(const TableSpec&)>& check,
    BackgroundJob* job) {
  Loader loader(from.shard, from.shards, check, job);
  for (const std::string& file : from.files) {
    HET_RETURN_IF_ERROR(loader.LoadFile(file));
  }
  return loader.TakeTables();
}

}  // namespace het
