#include "kernels/testing/simulation.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "kernels/base/hash.h"
#include "kernels/cache/unique_ids.h"
#include "kernels/store/retrying_store.h"
#include "kernels/store/router.h"
#include "kernels/store/sharded_store.h"
#include "kernels/testing/initial_row.h"
#include "kernels/testing/wrapped_store.h"

namespace het {

Simulation::Simulation(const SimulationOptions& options)
    : options_(options),
      network_(std::make_shared<SimulatedNetwork>()),
      busy_(options.workers),
      ahead_(options.workers),
      updates_(options.workers),
      last_read_(options.workers),
      commits_(options.workers),
      histories_(options.workers + options.shards) {
  table_.name = "t";
  table_.dimension = options.workers + 1;
  table_.initializer = {"zeros", {}};
  table_.optimizer = options.optimizer;
  oracle_ =
      std::make_shared<StalenessOracle>(table_, options.cache.staleness);
  for (std::size_t s = 0; s < options.shards; ++s) {
    Shard::Options with;
    with.incarnation = 1000 + s;
    shards_.push_back(std::make_shared<Shard>(with));
  }
  for (std::size_t w = 0; w < options.workers; ++w) {
    timers_.push_back(std::make_shared<ManualTimer>());
    std::vector<std::shared_ptr<EmbeddingStore>> chains;
    for (std::size_t s = 0; s < options.shards; ++s) {
      RetryOptions retry;
      retry.worker = 1 + w;
      retry.shard = 1000 + s;
      retry.name = "shard " + std::to_string(s);
      retry.deadline = std::chrono::hours(1000);
      chains.push_back(std::make_shared<RetryingStore>(
          network_->Link(w, s, oracle_->WatchShard(shards_[s], s)), retry,
          timers_[w]));
    }
    auto cache = EmbeddingCache::Create(
        table_, options.cache,
        oracle_->WatchWorker(std::make_shared<ShardedStore>(
                                 std::move(chains), options.piece_bytes),
                             w));
    assert(cache.ok());
    caches_.push_back(std::move(*cache));
  }
}

Simulation::~Simulation() {
  network_->Close();
  for (const auto& timer : timers_) timer->Clear();
}

bool Simulation::idle() const {
  for (const int busy : busy_) {
    if (busy > 0) return false;
  }
  return true;
}

void Simulation::Log(std::size_t history, char what, std::size_t a,
                     std::size_t b) {
  const std::uint64_t event =
      static_cast<std::uint64_t>(what) << 56 | std::uint64_t{a} << 28 | b;
  histories_[history] = Mix64(Mix64(histories_[history] + 1) ^ event);
}

std::uint64_t Simulation::Key() const {
  std::uint64_t key = 0;
  for (const std::uint64_t history : histories_) key = Mix64(key + 1) ^ history;
  return Mix64(key);
}

void Simulation::End(std::size_t worker, const char* what,
                     const Status& status) {
  --busy_[worker];
  if (!status.ok()) {
    errors_.push_back("worker " + std::to_string(worker) + ", " + what + ": " +
                      status.ToString());
  }
}

// --- Operations. ------------------------------------------------------------

void Simulation::Prefetch(std::size_t worker, const std::vector<RowId>& ids,
                          int ahead) {
  Log(worker_history(worker), 'P');
  auto call = std::make_shared<Ahead>();
  call->ids = ids;
  call->ahead = ahead;
  for (const RowId id : ids) {
    call->starts.push_back(oracle_->BeginRead(worker, id));
  }
  ++busy_[worker];
  const Span<const RowId> lookup(ids);
  caches_[worker]->Prefetch(Span<const Span<const RowId>>(&lookup, 1), ahead,
                            [this, worker, call](Status status) {
                              End(worker, "prefetch", status);
                              call->commits = updates_[worker];
                              ahead_[worker].push_back(std::move(*call));
                            });
}

void Simulation::Lookup(std::size_t worker, const std::vector<RowId>& ids,
                        ReadMode mode) {
  Log(worker_history(worker), 'L');
  struct Call {
    std::vector<RowId> ids;
    std::vector<float> rows;
    std::vector<StalenessOracle::ReadStart> starts;
  };
  auto call = std::make_shared<Call>();
  call->ids = ids;
  call->rows.resize(ids.size() * table_.dimension);
  // The shard may have been asked since the prefetch, and the copy may be older
  // by as many commits.
  std::deque<Ahead>& ahead = ahead_[worker];
  ahead.erase(std::remove_if(ahead.begin(), ahead.end(),
                             [&](const Ahead& one) {
                               return updates_[worker] - one.commits >
                                      one.ahead;
                             }),
              ahead.end());
  const auto asked = std::find_if(
      ahead.begin(), ahead.end(),
      [&](const Ahead& one) { return one.ids == ids; });
  const bool early = mode == ReadMode::kTraining && asked != ahead.end();
  for (const RowId id : ids) {
    call->starts.push_back(
        oracle_->BeginRead(worker, id, early ? asked->ahead : 0));
  }
  if (early) {
    ++prefetched_;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      call->starts[i].answers = asked->starts[i].answers;
    }
    ahead.erase(asked);
  }
  ++busy_[worker];
  caches_[worker]->Lookup(
      call->ids, mode, call->rows.data(), [this, worker, call](Status status) {
        End(worker, "lookup", status);
        if (!status.ok()) return;
        const float* row = call->rows.data();
        for (const StalenessOracle::ReadStart& start : call->starts) {
          oracle_->CheckRead(worker, start, row);
          last_read_[worker][start.id].assign(row, row + table_.dimension);
          row += table_.dimension;
        }
      });
}

void Simulation::Update(std::size_t worker, const std::vector<RowId>& ids,
                        const std::vector<int>& values, float learning_rate) {
  Log(worker_history(worker), 'U');
  struct Call {
    std::vector<RowId> ids;
    std::vector<float> gradients;
  };
  auto call = std::make_shared<Call>();
  call->ids = ids;
  call->gradients.resize(ids.size() * table_.dimension);
  UniqueIds unique;
  unique.Begin(ids.size());
  unique.Add(ids);
  unique.Number();
  std::vector<float> merged(unique.ids().size() * table_.dimension);
  std::vector<bool> counted(unique.ids().size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::uint32_t u = unique.inverse()[i];
    float* gradient = &call->gradients[i * table_.dimension];
    // The rate divides out again, so that the column counts commits.
    if (!counted[u]) gradient[worker] = -1.0f / learning_rate;
    counted[u] = true;
    gradient[options_.workers] = static_cast<float>(values[i]);
    for (std::size_t d = 0; d < table_.dimension; ++d) {
      merged[u * table_.dimension + d] += gradient[d];
    }
  }
  for (const RowId id : unique.ids()) ++commits_[worker][id];
  ++updates_[worker];
  oracle_->Commit(worker, unique.ids(), merged, learning_rate);
  ++busy_[worker];
  caches_[worker]->Update(call->ids, call->gradients.data(), learning_rate,
                          1.0f,
                          [this, worker, call, before = commits_[worker]](
                              Status status) {
                            End(worker, "update", status);
                            if (!status.ok() || options_.cache.staleness > 0) {
                              return;
                            }
                            CheckStored(worker, "an update at staleness 0",
                                        call->ids, before);
                          });
}

void Simulation::Flush(std::size_t worker) {
  Log(worker_history(worker), 'F');
  ++busy_[worker];
  // A flush that is done has brought every commit before it to the shards.
  caches_[worker]->Flush([this, worker, before = commits_[worker]](
                             Status status) {
    End(worker, "flush", status);
    if (!status.ok()) return;
    std::vector<RowId> ids;
    for (const auto& [id, count] : before) ids.push_back(id);
    CheckStored(worker, "a flush", ids, before);
  });
}

void Simulation::CheckStored(std::size_t worker, const char* what,
                             const std::vector<RowId>& ids,
                             const std::map<RowId, std::int64_t>& before) {
  if (options_.optimizer.name != "sgd") return;
  for (const RowId id : ids) {
    const float stored = oracle_->row(id)[worker];
    const std::int64_t count = before.at(id);
    if (stored >= static_cast<float>(count)) continue;
    errors_.push_back(internal::StreamToString(
        what, " of worker ", worker, " ended with ", stored, " of ", count,
        " commits to row ", id, " at the shard"));
  }
}

// --- What happens next. -----------------------------------------------------

std::vector<Simulation::Event> Simulation::Possible(bool with_faults) const {
  std::vector<Event> events;
  for (const SimulatedNetwork::Event& event : network_->Possible(with_faults)) {
    events.push_back({false, 0, event});
  }
  for (std::size_t w = 0; w < timers_.size(); ++w) {
    if (!timers_[w]->empty()) events.push_back({true, w, {}});
  }
  return events;
}

void Simulation::Happen(const Event& event) {
  if (event.timer) {
    Log(worker_history(event.worker), 'T');
    timers_[event.worker]->RunNext();
    return;
  }
  const std::size_t worker = network_->worker_of(event.network);
  const std::size_t shard = network_->shard_of(event.network);
  const std::size_t number = network_->number_of(event.network);
  if (event.network.action == SimulatedNetwork::Action::kDeliverRequest) {
    Log(shard_history(shard), 'd', worker, number);
  } else {
    Log(worker_history(worker),
        static_cast<char>('m' + static_cast<int>(event.network.action)), shard,
        number);
  }
  network_->Happen(event.network);
}

void Simulation::Settle() {
  while (true) {
    const std::vector<Event> events = Possible(false);
    if (events.empty()) return;
    Happen(events.front());
  }
}

std::vector<float> Simulation::Stored(RowId id) {
  // A worker of its own, for this one read.
  const std::size_t shard = Router(options_.shards).ShardOf(id);
  NumberingStore store(shards_[shard], Mix64(network_->messages()) ^
                                           static_cast<Incarnation>(++reads_),
                       shards_[shard]->incarnation());
  OwnedRequest fetch;
  fetch.Add(table_.id()).Fetch(id);
  const auto reply = ExchangeAndWait(store, fetch.request());
  if (!reply.ok()) {
    errors_.push_back("reading a stored row: " + reply.status().ToString());
    return {};
  }
  return ValuesOf(reply->tables[0].fetched[0], table_, id);
}

void Simulation::FinishAndCheck() {
  Settle();
  for (std::size_t w = 0; w < options_.workers; ++w) Flush(w);
  Settle();
  if (!idle()) errors_.push_back("operations never ended");
  oracle_->CheckConserved();
  for (std::size_t w = 0; w < options_.workers; ++w) {
    for (const auto& [id, count] : commits_[w]) {
      const std::vector<float> row = Stored(id);
      if (options_.optimizer.name == "sgd" && !row.empty() &&
          row[w] != static_cast<float>(count)) {
        errors_.push_back("row " + std::to_string(id) + " counts " +
                          std::to_string(row[w]) + " commits of worker " +
                          std::to_string(w) + ", which made " +
                          std::to_string(count));
      }
    }
    const CacheStats stats = caches_[w]->stats();
    if (stats.pending_rows != 0) {
      errors_.push_back("worker " + std::to_string(w) + " counts " +
                        std::to_string(stats.pending_rows) +
                        " pending rows after its flush");
    }
    if (stats.hits + stats.misses + stats.invalid != stats.unique_ids) {
      errors_.push_back("hits, misses and invalid do not add up");
    }
  }
}

}  // namespace het
