// Simulation: workers with their caches, shards and the network between them,
// all real but for the network and the time, in one thread, watched by a
// StalenessOracle. A test starts operations and chooses what happens next.
//
//   EmbeddingCache -> (oracle) -> ShardedStore -> RetryingStore
//       -> SimulatedNetwork -> (oracle) -> Shard
//
// Columns of the rows: one per worker that counts its commits to the row, and
// one last with arbitrary integers; all start at 0.
//
// Ownership: owns everything. Not thread-safe.

#ifndef HET_TF_KERNELS_TESTING_SIMULATION_H_
#define HET_TF_KERNELS_TESTING_SIMULATION_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cache/embedding_cache.h"
#include "kernels/shard/shard.h"
#include "kernels/store/sharded_store.h"
#include "kernels/testing/manual_timer.h"
#include "kernels/testing/simulated_network.h"
#include "kernels/testing/staleness_oracle.h"

namespace het {

struct SimulationOptions {
  std::size_t workers = 2;
  std::size_t shards = 2;
  CacheOptions cache;
  ComponentSpec optimizer{"sgd", {}};
  std::size_t piece_bytes = ShardedStore::kPieceBytes;
};

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  // --- Operations. Duplicate ids are allowed. -------------------------------

  // Asks ahead for a training lookup of these ids.
  void Prefetch(std::size_t worker, const std::vector<RowId>& ids, int ahead);
  // Reads and checks what was read. `id`s may be in use by other operations. A
  // training lookup of ids that were prefetched not too many commits before may
  // rely on what was asked then.
  void Lookup(std::size_t worker, const std::vector<RowId>& ids,
              ReadMode mode = ReadMode::kTraining);
  // One commit that counts 1 in the worker's column of every distinct id, and
  // adds `values[i]` for ids[i] in the last one.
  void Update(std::size_t worker, const std::vector<RowId>& ids,
              const std::vector<int>& values, float learning_rate = 1.0f);
  void Flush(std::size_t worker);

  // Operations of the worker that have not ended.
  int busy(std::size_t worker) const { return busy_[worker]; }
  bool idle() const;

  // --- What happens next. ---------------------------------------------------

  struct Event {
    bool timer = false;      // the next one of `worker`
    std::size_t worker = 0;  // of the timer
    SimulatedNetwork::Event network{};
  };
  // In a fixed order.
  std::vector<Event> Possible(bool with_faults) const;
  void Happen(const Event& event);
  // Everything, in order, until nothing is left.
  void Settle();

  // --- Looking at it. -------------------------------------------------------

  // Rows as the shards hold them, read past the caches. REQUIRES: idle().
  std::vector<float> Stored(RowId id);
  // The last read of the row by the worker.
  const std::vector<float>& last_read(std::size_t worker, RowId id) {
    return last_read_[worker][id];
  }
  // Training lookups whose ids had been asked for ahead, not too early.
  std::int64_t prefetched() const { return prefetched_; }
  // Commits of the worker to the row.
  std::int64_t commits(std::size_t worker, RowId id) {
    return commits_[worker][id];
  }

  StalenessOracle& oracle() { return *oracle_; }
  const TableSpec& table() const { return table_; }
  // Errors of operations; none is expected.
  const std::vector<std::string>& errors() const { return errors_; }

  // A key of the state: a hash of what each worker did and got, and of what each
  // shard got, in order. Equal for schedules that differ only in the order of
  // events that do not touch each other (of different workers, at different
  // shards).
  std::uint64_t Key() const;

  // Flushes every worker and checks conservation and the stored rows.
  void FinishAndCheck();

 private:
  void Log(std::size_t history, char what, std::size_t a = 0,
           std::size_t b = 0);
  std::size_t worker_history(std::size_t worker) const { return worker; }
  std::size_t shard_history(std::size_t shard) const {
    return options_.workers + shard;
  }
  void End(std::size_t worker, const char* what, const Status& status);
  // An operation has ended that brings these commits to the shards.
  void CheckStored(std::size_t worker, const char* what,
                   const std::vector<RowId>& ids,
                   const std::map<RowId, std::int64_t>& before);

  const SimulationOptions options_;
  TableSpec table_;
  std::shared_ptr<StalenessOracle> oracle_;
  std::shared_ptr<SimulatedNetwork> network_;
  std::vector<std::shared_ptr<Shard>> shards_;
  std::vector<std::shared_ptr<ManualTimer>> timers_;  // per worker
  std::vector<std::shared_ptr<EmbeddingCache>> caches_;
  std::vector<int> busy_;
  // What was asked ahead, oldest first.
  struct Ahead {
    std::vector<RowId> ids;
    std::vector<StalenessOracle::ReadStart> starts;
    int ahead;
    std::int64_t commits;  // of the worker to the table, before
  };
  std::vector<std::deque<Ahead>> ahead_;
  std::vector<std::int64_t> updates_;  // commits to the table
  std::int64_t prefetched_ = 0;
  std::vector<std::map<RowId, std::vector<float>>> last_read_;
  std::vector<std::map<RowId, std::int64_t>> commits_;
  std::vector<std::string> errors_;
  std::vector<std::uint64_t> histories_;  // hashes: workers, then shards
  std::uint64_t reads_ = 0;
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_SIMULATION_H_
