#include "kernels/store/combining_store.h"

#include <unordered_set>
#include <utility>

namespace het {

CombiningStore::CombiningStore(std::shared_ptr<EmbeddingStore> store,
                               std::size_t max_bytes)
    : store_(std::move(store)), max_bytes_(max_bytes) {}

CombiningStore::Hold::Hold(CombiningStore* store) : store_(store) {
  MutexLock lock(&store_->mutex_);
  ++store_->holds_;
}

CombiningStore::Hold::~Hold() {
  {
    MutexLock lock(&store_->mutex_);
    --store_->holds_;
    ++store_->ends_;
  }
  store_->Drain();
}

void CombiningStore::Exchange(const ExchangeRequest& request,
                              ExchangeDone done) {
  {
    MutexLock lock(&mutex_);
    queue_.push_back({&request, std::move(done)});
  }
  Drain();
}

void CombiningStore::Drain() {
  mutex_.Lock();
  if (!sending_) {
    sending_ = true;
    while (!queue_.empty() && (holds_ == 0 || ends_ >= kMaxEnds)) {
      std::vector<Part> parts = TakeParts();
      mutex_.Unlock();
      Send(std::move(parts));
      mutex_.Lock();
    }
    if (queue_.empty()) ends_ = 0;
    sending_ = false;
  }
  mutex_.Unlock();
}

std::size_t CombiningStore::BytesOf(const ExchangeRequest& request) const {
  std::size_t values = 0;
  for (const TableExchange& table : request.tables) {
    const auto dimension = dimensions_.find(table.table);
    values += table.push_gradients.size();
    if (dimension != dimensions_.end()) {
      values += (table.validate_ids.size() + table.fetch_ids.size()) *
                dimension->second;
    }
  }
  return values * sizeof(float);
}

std::vector<CombiningStore::Part> CombiningStore::TakeParts() {
  std::vector<Part> parts;
  std::unordered_set<TableId> tables;
  std::size_t bytes = 0;
  while (!queue_.empty()) {
    const ExchangeRequest& request = *queue_.front().request;
    bytes += BytesOf(request);
    bool again = false;
    for (const TableExchange& table : request.tables) {
      again = again || tables.count(table.table) > 0;
    }
    if (!parts.empty() && (again || bytes > max_bytes_)) break;
    for (const TableExchange& table : request.tables) {
      tables.insert(table.table);
    }
    parts.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return parts;
}

void CombiningStore::Send(std::vector<Part> parts) {
  if (parts.size() == 1) {
    store_->Exchange(*parts[0].request, std::move(parts[0].done));
    return;
  }
  struct Combined {
    ExchangeRequest request;
    std::vector<Part> parts;
  };
  auto combined = std::make_shared<Combined>();
  combined->parts = std::move(parts);
  for (const Part& part : combined->parts) {
    combined->request.tables.insert(combined->request.tables.end(),
                                    part.request->tables.begin(),
                                    part.request->tables.end());
  }
  store_->Exchange(
      combined->request, [combined](Status status, ExchangeReply reply) {
        if (status.ok() &&
            reply.tables.size() != combined->request.tables.size()) {
          status = Internal("a reply is about ", reply.tables.size(),
                            " tables, expected ",
                            combined->request.tables.size());
        }
        std::size_t next = 0;
        for (Part& part : combined->parts) {
          ExchangeReply own;
          if (status.ok()) {
            // `done` ends the request's life: its size is taken first.
            for (std::size_t t = part.request->tables.size(); t > 0; --t) {
              own.tables.push_back(std::move(reply.tables[next++]));
            }
            own.buffers = reply.buffers;
          }
          part.done(status, std::move(own));
        }
      });
}

Status CombiningStore::CreateTable(const TableSpec& spec) {
  HET_RETURN_IF_ERROR(store_->CreateTable(spec));
  MutexLock lock(&mutex_);
  dimensions_[spec.id()] = spec.dimension;
  return OkStatus();
}

Status CombiningStore::Assign(TableId table, Staleness staleness,
                              Span<const RowId> ids, Span<const float> rows) {
  return store_->Assign(table, staleness, ids, rows);
}

Result<std::vector<ShardStats>> CombiningStore::Stats() {
  return store_->Stats();
}

Result<CheckpointProgress> CombiningStore::Snapshot(
    const SnapshotRequest& request) {
  return store_->Snapshot(request);
}

Result<CheckpointProgress> CombiningStore::Restore(
    const RestoreRequest& request) {
  return store_->Restore(request);
}

Traffic CombiningStore::traffic() const { return store_->traffic(); }

}  // namespace het
