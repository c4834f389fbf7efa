// Shard's log: how a shard that was killed comes back.

#include <future>
#include <utility>

#include "kernels/shard/checkpoint_jobs.h"
#include "kernels/shard/shard.h"
#include "kernels/store/check_request.h"

namespace het {

// Does again what the log says, to a shard that nobody uses yet.
class Shard::Recovery final : public LogReplayer {
 public:
  explicit Recovery(Shard* shard) : shard_(shard) {}

  Status Head(const LogHead& head) override {
    shard_->incarnation_ = head.shard;
    for (const auto& [worker, next] : head.workers) {
      const auto order = shard_->FindWorker(worker);
      if (begun_ && next > order->next_to_take()) {
        return DataLoss("exchanges from ", order->next_to_take(), " to ",
                        next - 1, " of a worker are missing before this");
      }
      order->SetNext(next);
    }
    begun_ = true;
    return OkStatus();
  }

  Status Table(const TableSpec& spec) override {
    return shard_->CreateTable(spec);
  }

  Status Exchange(const ExchangeRequest& request) override {
    const auto order = shard_->FindWorker(request.header.worker);
    if (request.header.sequence < order->next_to_take()) return OkStatus();
    for (const TableExchange& exchange : request.tables) {
      const auto table = shard_->FindTable(exchange.table);
      if (table == nullptr) {
        return DataLoss("rows of a table that the log has not named before");
      }
      HET_RETURN_IF_ERROR(CheckTableExchange(exchange, table->spec()));
      HET_RETURN_IF_ERROR(table->Reserve(exchange.push_ids.size()));
      table->Push(exchange.push_ids, exchange.push_clocks,
                  exchange.push_learning_rates, exchange.push_gradients,
                  exchange.round);
      table->Release(exchange.push_ids.size());
    }
    order->SetNext(request.header.sequence + 1);
    return OkStatus();
  }

  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override {
    return shard_->Assign(table, staleness, ids, rows);
  }

  Status Refusal(const ExchangeHeader& header, const Status& status) override {
    const auto order = shard_->FindWorker(header.worker);
    order->NoteRefused(header.sequence, status);
    // One that is logged again, at the beginning of a segment, has its number.
    if (header.sequence >= order->next_to_take()) {
      order->SetNext(header.sequence + 1);
    }
    return OkStatus();
  }

  Status Drop(TableId table) override {
    MutexLock lock(&shard_->mutex_);
    shard_->tables_.erase(table);
    return OkStatus();
  }

 private:
  Shard* const shard_;
  bool begun_ = false;  // what comes before the first head is in the base
};

Result<std::shared_ptr<Shard>> Shard::Open(const Options& options) {
  auto shard = std::make_shared<Shard>(options);
  if (options.log_directory.empty()) return shard;
  auto opened = PushLog::Open(options.log_directory, options.durability);
  HET_RETURN_IF_ERROR(opened.status());
  std::unique_ptr<PushLog> log = std::move(opened).Take();
  auto rows = ReadRows(
      log->base(), [](const TableSpec&) { return OkStatus(); }, nullptr);
  HET_RETURN_IF_ERROR(rows.status());
  {
    MutexLock lock(&shard->mutex_);
    for (auto& [id, table] : *rows) shard->tables_[id] = std::move(table);
  }
  Recovery recovery(shard.get());
  shard->replaying_ = true;
  HET_RETURN_IF_ERROR(log->Replay(&recovery));
  shard->replaying_ = false;
  // Its tables are known from the segments before, or the base. Naming them again
  // would close rounds that are open.
  HET_RETURN_IF_ERROR(log->Begin(shard->Head({})).status());
  shard->log_ = std::move(log);
  HET_RETURN_IF_ERROR(shard->LogRefusals());
  return shard;
}

LogHead Shard::Head(const std::vector<std::shared_ptr<Table>>& tables) const {
  LogHead head;
  head.shard = incarnation_;
  for (const auto& table : tables) head.tables.push_back(table->spec());
  MutexLock lock(&mutex_);
  for (const auto& [worker, order] : workers_) {
    head.workers.push_back({worker, order->next_to_take()});
  }
  return head;
}

Status Shard::LogRefusals() {
  std::vector<std::pair<ExchangeHeader, Status>> refusals;
  {
    MutexLock lock(&mutex_);
    for (const auto& [worker, order] : workers_) {
      for (auto& [sequence, status] : order->Refusals()) {
        refusals.push_back({{worker, incarnation_, sequence}, status});
      }
    }
  }
  for (const auto& [header, status] : refusals) {
    HET_RETURN_IF_ERROR(log_->AppendRefusal(header, status));
  }
  return OkStatus();
}

Status Shard::AwaitDurable() const {
  if (log_ == nullptr) return OkStatus();
  std::promise<Status> durable;
  log_->WhenDurable([&](Status status) { durable.set_value(std::move(status)); });
  return durable.get_future().get();
}

}  // namespace het
