// Simulation: workers that train one table on shards, all in this process and
// all real but the network and the gradients:
//
//   EmbeddingCache -> CombiningStore -> ShardedStore -> RetryingStore
//       -> encode, decode -> Shard -> encode, decode
//
// The workers step together: first all look up, then all update, in their order,
// so a run is a function of its ids. Steps can be left out of the count while
// caches fill.
//
// Ownership: it owns shards and caches. Thread-safety: none.

#ifndef HET_TF_BENCHMARKS_NATIVE_SIMULATION_H_
#define HET_TF_BENCHMARKS_NATIVE_SIMULATION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "benchmarks/native/codec_store.h"
#include "kernels/base/status.h"
#include "kernels/cache/embedding_cache.h"

namespace het {

struct SimulationOptions {
  std::size_t workers = 1;
  std::size_t shards = 1;
  std::size_t dimension = 16;
  CacheOptions cache;
  std::vector<WireFormat> formats;  // see CodecStoreOptions, as the next one
  bool trained = false;
};

// Sums over the steps that count.
struct SimulationCounts {
  explicit SimulationCounts(const SimulationOptions& options);

  std::int64_t steps = 0;
  LinkTraffic workers;              // of all
  std::vector<LinkTraffic> shards;  // of each; `sent` is to it
  // Exchanges one after the other: of each step the most that a worker had with
  // a shard. Pieces of a large one count each, though none waits for another.
  std::int64_t rounds = 0;
  // Of each step what the busiest worker's, shard's and other link carried in
  // its busier direction, by format.
  std::vector<std::int64_t> busiest_worker, busiest_shard, busiest;
  std::int64_t ids = 0, unique = 0, hits = 0, misses = 0, invalid = 0;
  std::int64_t evictions = 0;
};

class Simulation {
 public:
  // INVALID_ARGUMENT without workers or shards, and as EmbeddingCache says.
  static Result<std::unique_ptr<Simulation>> Create(
      const SimulationOptions& options);

  // What has been counted so far does not count.
  void Restart();

  // A lookup and an update by every worker. REQUIRES: a batch for each.
  Status Step(const std::vector<std::vector<RowId>>& batches);

  SimulationCounts counts() const;

  // Pushes what is pending, which does not count. The rows that have been
  // trained, which are those that the shards have.
  Result<std::int64_t> Flush();

 private:
  explicit Simulation(const SimulationOptions& options);
  void CountStep();
  void AddLookups(std::int64_t sign, SimulationCounts* counts) const;

  const SimulationOptions options_;
  std::vector<std::shared_ptr<Shard>> shards_;
  std::vector<std::vector<std::shared_ptr<CodecStore>>> links_;  // by worker
  std::vector<std::shared_ptr<EmbeddingCache>> caches_;
  SimulationCounts counts_;  // but for lookups: less those that do not count
  std::vector<float> rows_, gradients_;
};

}  // namespace het

#endif  // HET_TF_BENCHMARKS_NATIVE_SIMULATION_H_
