#include "kernels/store/sharded_store.h"

#include <utility>

#include "kernels/store/check_request.h"
#include "kernels/store/request_split.h"

namespace het {
namespace {

// One exchange on its way through all shards; destroyed with the last answer,
// also when it has failed before.
class FanOut : public std::enable_shared_from_this<FanOut> {
 public:
  FanOut(const ExchangeRequest& request,
         const std::vector<std::size_t>& dimensions, const Router& router,
         std::size_t piece_bytes, EmbeddingStore::ExchangeDone done)
      : split_(request, dimensions, router, piece_bytes),
        whole_(split_.PrepareReply()),
        done_(std::move(done)) {}

  void Start(const std::vector<std::shared_ptr<EmbeddingStore>>& shards) {
    {
      // One is held back, so that an early answer, or a failure, does not end the
      // exchange before the last piece has been sent.
      MutexLock lock(&mutex_);
      open_ = split_.pieces() + 1;
    }
    // Of every shard the first piece, then of every one the second.
    bool more = true;
    for (std::size_t round = 0; more; ++round) {
      more = false;
      for (std::size_t s = 0; s < shards.size(); ++s) {
        const std::size_t piece = split_.first(s) + round;
        if (piece >= split_.first(s + 1)) continue;
        more = true;
        shards[s]->Exchange(split_.Prepare(piece),
                            [self = shared_from_this(), piece](
                                Status status, ExchangeReply reply) {
                              self->Answer(piece, std::move(status),
                                           std::move(reply));
                            });
      }
    }
    {
      MutexLock lock(&mutex_);
      sent_ = true;
    }
    Close();
  }

 private:
  void Answer(std::size_t piece, Status status, ExchangeReply reply) {
    {
      MutexLock lock(&mutex_);
      if (status.ok()) {
        status = split_.Merge(piece, std::move(reply), &whole_);
      }
      if (!status.ok() && (failure_.ok() || piece < failed_)) {
        failure_ = std::move(status);
        failed_ = piece;
      }
    }
    Close();
  }

  // Ends the exchange with the last answer, or when one has failed: behind a piece
  // that a shard did not get others would wait in vain.
  void Close() {
    Status status;
    ExchangeReply whole;
    {
      MutexLock lock(&mutex_);
      --open_;
      if (ended_ || !sent_ || (open_ > 0 && failure_.ok())) return;
      ended_ = true;
      status = failure_;
      if (status.ok()) whole = std::move(whole_);
    }
    done_(std::move(status), std::move(whole));
  }

  // Prepared by the thread that starts the exchange, merged by those of answers.
  RequestSplit split_;
  Mutex mutex_;
  std::size_t open_ HET_GUARDED_BY(mutex_) = 0;
  ExchangeReply whole_ HET_GUARDED_BY(mutex_);
  bool sent_ HET_GUARDED_BY(mutex_) = false;   // all of it
  bool ended_ HET_GUARDED_BY(mutex_) = false;  // done_ has been called, or is
  Status failure_ HET_GUARDED_BY(mutex_);      // of the first such piece so far
  std::size_t failed_ HET_GUARDED_BY(mutex_) = 0;
  const EmbeddingStore::ExchangeDone done_;
};

}  // namespace

ShardedStore::ShardedStore(std::vector<std::shared_ptr<EmbeddingStore>> shards,
                           std::size_t piece_bytes)
    : shards_(std::move(shards)),
      router_(shards_.size()),
      piece_bytes_(piece_bytes) {}

void ShardedStore::Exchange(const ExchangeRequest& request, ExchangeDone done) {
  std::vector<std::size_t> dimensions;
  dimensions.reserve(request.tables.size());
  for (const TableExchange& exchange : request.tables) {
    const Result<TableSpec> spec = FindSpec(exchange.table);
    Status status = spec.status();
    if (status.ok()) status = CheckTableExchange(exchange, *spec);
    if (!status.ok()) {
      done(std::move(status), {});
      return;
    }
    dimensions.push_back(spec->dimension);
  }
  std::make_shared<FanOut>(request, dimensions, router_, piece_bytes_,
                           std::move(done))
      ->Start(shards_);
}

Status ShardedStore::CreateTable(const TableSpec& spec) {
  HET_RETURN_IF_ERROR(Validate(spec));
  for (const auto& shard : shards_) {
    HET_RETURN_IF_ERROR(shard->CreateTable(spec));
  }
  MutexLock lock(&mutex_);
  const auto [entry, created] = specs_.emplace(spec.id(), spec);
  if (created) return OkStatus();
  HET_RETURN_IF_ERROR(CheckSameSpec(entry->second, spec));
  if (BringsOptimizer(entry->second, spec)) entry->second = spec;
  return OkStatus();
}

Status ShardedStore::Assign(TableId table, Staleness staleness,
                            Span<const RowId> ids, Span<const float> rows) {
  const Result<TableSpec> spec = FindSpec(table);
  HET_RETURN_IF_ERROR(spec.status());
  const std::size_t dimension = spec->dimension;
  if (rows.size() != ids.size() * dimension) {
    return InvalidArgument("table '", spec->name, "': ", ids.size(),
                           " rows of dimension ", dimension,
                           " are assigned from ", rows.size(),
                           " values, expected ", ids.size() * dimension);
  }
  for (std::size_t s = 0; s < shards_.size(); ++s) {
    std::vector<RowId> part_ids;
    std::vector<float> part_rows;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (router_.ShardOf(ids[i]) != s) continue;
      part_ids.push_back(ids[i]);
      part_rows.insert(part_rows.end(), &rows[i * dimension],
                       &rows[i * dimension] + dimension);
    }
    if (part_ids.empty()) continue;
    HET_RETURN_IF_ERROR(
        shards_[s]->Assign(table, staleness, part_ids, part_rows));
  }
  return OkStatus();
}

Result<std::vector<ShardStats>> ShardedStore::Stats() {
  std::vector<ShardStats> all;
  for (const auto& shard : shards_) {
    Result<std::vector<ShardStats>> stats = shard->Stats();
    HET_RETURN_IF_ERROR(stats.status());
    for (ShardStats& one : *stats) all.push_back(std::move(one));
  }
  return all;
}

// Calls ask(shard, request with the shard's place) of every shard and adds up.
template <typename Request, typename Ask>
Result<CheckpointProgress> ShardedStore::AskAll(const Request& request,
                                                const Ask& ask) {
  CheckpointProgress sum{true, 0, 0};
  for (std::size_t s = 0; s < shards_.size(); ++s) {
    Request own = request;
    own.place.shard = s;
    own.place.shards = shards_.size();
    const Result<CheckpointProgress> progress = ask(*shards_[s], own);
    HET_RETURN_IF_ERROR(progress.status());
    sum.done = sum.done && progress->done;
    sum.rows += progress->rows;
    sum.bytes += progress->bytes;
  }
  return sum;
}

Result<CheckpointProgress> ShardedStore::Snapshot(
    const SnapshotRequest& request) {
  return AskAll(request,
                [](EmbeddingStore& shard, const SnapshotRequest& own) {
                  return shard.Snapshot(own);
                });
}

Result<CheckpointProgress> ShardedStore::Restore(
    const RestoreRequest& request) {
  return AskAll(request, [](EmbeddingStore& shard, const RestoreRequest& own) {
    return shard.Restore(own);
  });
}

Traffic ShardedStore::traffic() const {
  Traffic sum;
  for (const auto& shard : shards_) sum += shard->traffic();
  return sum;
}

Result<TableSpec> ShardedStore::FindSpec(TableId table) const {
  MutexLock lock(&mutex_);
  const auto found = specs_.find(table);
  if (found == specs_.end()) {
    return NotFound("there is no table with id ", table,
                    ": create it before using it");
  }
  return found->second;
}

}  // namespace het
