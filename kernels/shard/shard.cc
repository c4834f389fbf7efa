#include "kernels/shard/shard.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/base/buffers.h"
#include "kernels/base/incarnation.h"
#include "kernels/optimizer/no_optimizer.h"
#include "kernels/store/check_request.h"

namespace het {
namespace {

Status UnknownTable(TableId id) {
  return NotFound("the shard has no table with id ", id,
                  ": create it before using it");
}

std::string Hex(Incarnation incarnation) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (int shift = 60; shift >= 0; shift -= 4) {
    hex += kDigits[(incarnation >> shift) & 15];
  }
  return hex;
}

// Room that Table::Reserve has granted, until the end of a call.
class Reservation {
 public:
  Reservation(Table* table, std::size_t rows) : table_(table), rows_(rows) {}
  ~Reservation() {
    if (table_ != nullptr) table_->Release(rows_);
  }
  Reservation(Reservation&& other) : table_(other.table_), rows_(other.rows_) {
    other.table_ = nullptr;
  }
  Reservation& operator=(Reservation&&) = delete;

 private:
  Table* table_;
  std::size_t rows_;
};

}  // namespace

Shard::Shard() : Shard(Options()) {}

Shard::Shard(const Options& options)
    : incarnation_(options.incarnation != 0 ? options.incarnation
                                            : DrawIncarnation()),
      window_(options.window),
      worker_expiry_(options.worker_expiry),
      max_reply_bytes_(options.max_reply_bytes),
      max_tables_(options.max_tables),
      max_dimension_(options.max_dimension),
      max_workers_(options.max_workers),
      max_memory_bytes_(options.max_memory_bytes),
      started_(std::chrono::steady_clock::now()),
      kept_(options.max_kept_bytes, options.disk_patience) {}

void Shard::Exchange(const ExchangeRequest& request, ExchangeDone done) {
  const ExchangeHeader& header = request.header;
  if (header.worker == 0 || header.sequence == 0) {
    done(InvalidArgument("an exchange needs a worker incarnation and a sequence "
                         "number from 1 on, got worker ",
                         Hex(header.worker), ", sequence ", header.sequence),
         {});
    return;
  }
  if (header.shard != incarnation_) {
    done(FailedPrecondition(
             "the shard has been restarted (incarnation ", Hex(incarnation_),
             ", the worker knows ", Hex(header.shard),
             "): the rows and updates it held are gone, and training cannot go "
             "on as if nothing had happened; restart the job"),
         {});
    return;
  }
  // The turn keeps `request` by reference: it is alive until `done`.
  auto shared_done = std::make_shared<ExchangeDone>(std::move(done));
  const std::shared_ptr<WorkerOrder> order = FindWorker(header.worker);
  if (order == nullptr) {
    (*shared_done)(FailedPrecondition("the shard knows ", max_workers_,
                                      " workers already: raise its "
                                      "--max-workers"),
                   {});
    return;
  }
  order->Submit(header.sequence,
                {[this, &request, &order = *order, shared_done](bool repeated) {
                   auto reply = std::make_shared<Result<ExchangeReply>>(
                       Take(request, order, repeated));
                   const auto answer = [reply, shared_done](Status durable) {
                     if (!reply->ok()) durable = reply->status();
                     if (durable.ok()) {
                       (*shared_done)(OkStatus(), std::move(*reply).Take());
                     } else {
                       (*shared_done)(std::move(durable), {});
                     }
                   };
                   if (log_ == nullptr) {
                     answer(OkStatus());
                   } else {
                     log_->WhenDurable(answer);
                   }
                 },
                 [shared_done](Status status) {
                   (*shared_done)(std::move(status), {});
                 }});
}

Result<ExchangeReply> Shard::Take(const ExchangeRequest& request,
                                  WorkerOrder& order, bool repeated) {
  kept_.AwaitRoom();
  const Gate::Passage inside(&gate_);
  if (repeated) {
    HET_RETURN_IF_ERROR(order.Refusal(request.header.sequence));
  }
  Result<ExchangeReply> reply = Execute(request, repeated);
  if (repeated) return reply;
  if (!reply.ok()) {
    order.NoteRefused(request.header.sequence, reply.status());
    if (log_ != nullptr) {
      HET_RETURN_IF_ERROR(log_->AppendRefusal(request.header, reply.status()));
    }
  }
  order.NoteTaken(request.header.sequence);
  return reply;
}

Result<ExchangeReply> Shard::Execute(const ExchangeRequest& request,
                                     bool repeated) {
  // Everything is checked before anything is applied.
  std::vector<std::shared_ptr<Table>> tables;
  tables.reserve(request.tables.size());
  for (const TableExchange& exchange : request.tables) {
    tables.push_back(FindTable(exchange.table));
    if (tables.back() == nullptr) return UnknownTable(exchange.table);
    HET_RETURN_IF_ERROR(CheckTableExchange(exchange, tables.back()->spec()));
    HET_RETURN_IF_ERROR(tables.back()->CheckRound(exchange));
  }
  HET_RETURN_IF_ERROR(CheckReplySize(request, tables));
  // A repeated exchange asks for room again, so that one refused stays refused.
  std::vector<Reservation> room;
  room.reserve(tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const std::size_t pushed = request.tables[t].push_ids.size();
    HET_RETURN_IF_ERROR(tables[t]->Reserve(pushed));
    room.emplace_back(tables[t].get(), pushed);
  }
  NewRows new_rows;
  if (max_memory_bytes_ > 0) {
    std::vector<Span<const RowId>> ids;
    for (const TableExchange& exchange : request.tables) {
      ids.push_back(exchange.push_ids);
    }
    HET_RETURN_IF_ERROR(CheckMemory(tables, ids, &new_rows));
  }
  // Memory for the reply is there before anything is applied, too.
  ExchangeReply reply;
  reply.tables.resize(request.tables.size());
  std::vector<std::shared_ptr<float[]>> rows(request.tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const TableExchange& exchange = request.tables[t];
    TableReply& answer = reply.tables[t];
    answer.dimension = tables[t]->spec().dimension;
    answer.fetched.resize(exchange.fetch_ids.size());
    answer.validated.resize(exchange.validate_ids.size());
    const std::size_t most = answer.fetched.size() + answer.validated.size();
    if (most == 0) continue;
    // Rows of valid copies are never written.
    rows[t] = TakeArray<float>(most * answer.dimension);
    reply.buffers.push_back(rows[t]);
  }
  ++(repeated ? repeated_ : exchanges_);
  if (!repeated) HET_RETURN_IF_ERROR(ApplyPushes(request, tables));
  for (std::size_t t = 0; t < tables.size(); ++t) {
    if (rows[t] == nullptr) continue;
    const TableExchange& exchange = request.tables[t];
    TableReply& answer = reply.tables[t];
    tables[t]->Fetch(exchange.fetch_ids, rows[t].get(), answer.fetched.data(),
                     exchange.round);
    tables[t]->FetchStale(
        exchange.validate_ids, exchange.validate_clocks, exchange.staleness,
        rows[t].get() + answer.fetched.size() * answer.dimension,
        answer.validated.data(), exchange.round);
  }
  return reply;
}

Status Shard::ApplyPushes(const ExchangeRequest& request,
                          const std::vector<std::shared_ptr<Table>>& tables) {
  const auto apply = [&] {
    for (std::size_t t = 0; t < tables.size(); ++t) {
      const TableExchange& exchange = request.tables[t];
      tables[t]->Push(exchange.push_ids, exchange.push_clocks,
                      exchange.push_learning_rates, exchange.push_gradients,
                      exchange.round);
    }
  };
  if (log_ == nullptr) {
    apply();
    return OkStatus();
  }
  // In the log before it is applied, and applied in the log's order, so that the
  // same bits come back; reads go on beside it.
  MutexLock lock(&apply_mutex_);
  HET_RETURN_IF_ERROR(log_->AppendExchange(request.header, request.tables));
  apply();
  return OkStatus();
}

Status Shard::CreateTable(const TableSpec& spec) {
  MutexLock administration(&administration_mutex_);
  const std::shared_ptr<Table> existing = FindTable(spec.id());
  if (existing != nullptr) {
    HET_RETURN_IF_ERROR(CheckSameSpec(existing->spec(), spec));
    if (!BringsOptimizer(existing->spec(), spec)) {
      // Somebody begins to train: rounds that an earlier job has left are over.
      // Those of a job that runs are not open while its workers start.
      if (IsNoOptimizer(spec.optimizer)) return OkStatus();
      if (log_ != nullptr) HET_RETURN_IF_ERROR(log_->AppendTable(spec));
      existing->CloseRounds();
      return AwaitDurable();
    }
  }
  HET_RETURN_IF_ERROR(Validate(spec));
  if (spec.dimension > max_dimension_ && !replaying_) {
    return ResourceExhausted("table '", spec.name, "' has dimension ",
                             spec.dimension, ", this shard takes at most ",
                             max_dimension_, ": raise its --max-dimension");
  }
  if (existing == nullptr && AllTables().size() >= max_tables_ && !replaying_) {
    return ResourceExhausted("table '", spec.name, "': this shard has ",
                             max_tables_, " tables already: raise its "
                             "--max-tables, or drop some");
  }
  Result<std::unique_ptr<Table>> table = Table::Create(spec);
  HET_RETURN_IF_ERROR(table.status());
  if (log_ != nullptr) HET_RETURN_IF_ERROR(log_->AppendTable(spec));
  // Without an optimizer rows come from Assign alone, which waits for us.
  if (existing != nullptr) (*table)->TakeRows(*existing);
  {
    MutexLock lock(&mutex_);
    tables_[spec.id()] = std::move(table).Take();
  }
  return AwaitDurable();
}

Status Shard::DropTable(const std::string& name) {
  MutexLock administration(&administration_mutex_);
  TableSpec spec;
  spec.name = name;
  const TableId id = spec.id();
  if (FindTable(id) == nullptr) {
    return NotFound("the shard has no table '", name, "'");
  }
  HET_RETURN_IF_ERROR(CheckIdle());
  {
    const Gate::Shut alone(&gate_);
    if (log_ != nullptr) HET_RETURN_IF_ERROR(log_->AppendDrop(id));
    MutexLock lock(&mutex_);
    tables_.erase(id);
  }
  // An increment would bring its rows back: the next checkpoint is a full one.
  snapshot_name_.clear();
  return AwaitDurable();
}

Status Shard::Assign(TableId id, Staleness staleness, Span<const RowId> ids,
                     Span<const float> rows) {
  MutexLock administration(&administration_mutex_);
  const std::shared_ptr<Table> table = FindTable(id);
  if (table == nullptr) return UnknownTable(id);
  const TableSpec& spec = table->spec();
  if (rows.size() != ids.size() * spec.dimension) {
    return InvalidArgument("table '", spec.name, "': ", ids.size(),
                           " rows of dimension ", spec.dimension,
                           " are assigned from ", rows.size(),
                           " values, expected ", ids.size() * spec.dimension);
  }
  if (staleness < 0) {
    return InvalidArgument("table '", spec.name, "': staleness is ", staleness,
                           ", expected at least 0");
  }
  kept_.AwaitRoom();
  HET_RETURN_IF_ERROR(table->Reserve(ids.size()));
  const Reservation room(table.get(), ids.size());
  NewRows new_rows;
  if (max_memory_bytes_ > 0 && !replaying_) {
    HET_RETURN_IF_ERROR(CheckMemory({table}, {ids}, &new_rows));
  }
  {
    // With a log pushes come before or after it as they do there.
    const Gate::Shut alone(&gate_);
    if (log_ != nullptr) {
      HET_RETURN_IF_ERROR(log_->AppendAssign(id, staleness, ids, rows));
    }
    table->Assign(staleness, ids, rows);
  }
  return AwaitDurable();
}

Result<std::vector<ShardStats>> Shard::Stats() {
  ShardStats stats;
  stats.incarnation = incarnation_;
  stats.uptime_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started_)
          .count();
  stats.exchanges = exchanges_;
  stats.memory_limit_bytes = static_cast<std::int64_t>(max_memory_bytes_);
  stats.repeated_exchanges = repeated_;
  {
    MutexLock lock(&mutex_);
    stats.workers = static_cast<std::int64_t>(workers_.size());
  }
  for (const auto& table : AllTables()) stats.tables.push_back(table->stats());
  std::sort(stats.tables.begin(), stats.tables.end(),
            [](const TableStats& a, const TableStats& b) {
              return a.name < b.name;
            });
  return std::vector<ShardStats>{std::move(stats)};
}

void Shard::Close() {
  std::vector<std::shared_ptr<WorkerOrder>> workers;
  {
    MutexLock lock(&mutex_);
    closed_ = true;
    for (const auto& [worker, order] : workers_) workers.push_back(order);
  }
  for (const auto& order : workers) order->Close();
}

std::shared_ptr<Table> Shard::FindTable(TableId id) const {
  MutexLock lock(&mutex_);
  const auto found = tables_.find(id);
  return found == tables_.end() ? nullptr : found->second;
}

std::shared_ptr<WorkerOrder> Shard::FindWorker(Incarnation worker) {
  std::shared_ptr<WorkerOrder> found;
  bool closed;
  {
    MutexLock lock(&mutex_);
    const auto known = workers_.find(worker);
    if (known != workers_.end()) {
      found = known->second;
    } else {
      for (auto old = workers_.begin(); old != workers_.end();) {
        // Nobody else has it: nothing of the worker is on its way in here.
        const bool gone = old->second.use_count() == 1 &&
                          old->second->IdleFor(worker_expiry_);
        old = gone ? workers_.erase(old) : std::next(old);
      }
      if (workers_.size() >= max_workers_ && !replaying_) return nullptr;
      found = workers_[worker] = std::make_shared<WorkerOrder>(window_);
    }
    closed = closed_;
  }
  if (closed) found->Close();  // it may have come after Shard::Close
  return found;
}

}  // namespace het
