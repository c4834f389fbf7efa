#include "kernels/testing/local_deployment.h"

#include <string>
#include <utility>

#include "kernels/base/incarnation.h"
#include "kernels/store/combining_store.h"
#include "kernels/store/retrying_store.h"
#include "kernels/testing/wrapped_store.h"

namespace het {

LocalDeployment::LocalDeployment(const Options& options) : options_(options) {
  for (std::size_t s = 0; s < options.shards; ++s) {
    shards_.push_back(std::make_shared<RestartableShard>());
  }
}

std::shared_ptr<EmbeddingStore> LocalDeployment::NewWorker() {
  const Incarnation worker = DrawIncarnation();
  if (!options_.retrying) {
    return std::make_shared<NumberingStore>(
        shards_[0], worker, shards_[0]->shard()->incarnation());
  }
  std::vector<std::shared_ptr<EmbeddingStore>> chains;
  for (std::size_t s = 0; s < shards_.size(); ++s) {
    FaultOptions faults = options_.faults;
    faults.seed += 1000 * faulty_.size();
    faulty_.push_back(std::make_shared<FaultInjectionStore>(
        shards_[s], faults, SystemTimer()));
    RetryOptions retry;
    retry.worker = worker;
    retry.shard = shards_[s]->shard()->incarnation();
    retry.name = "shard " + std::to_string(s) + " (in this process)";
    retry.initial_backoff = std::chrono::milliseconds(1);
    retry.max_backoff = std::chrono::milliseconds(2);
    chains.push_back(std::make_shared<RetryingStore>(faulty_.back(), retry,
                                                     SystemTimer()));
  }
  return std::make_shared<CombiningStore>(
      std::make_shared<ShardedStore>(std::move(chains), options_.piece_bytes));
}

FaultCounts LocalDeployment::faults() const {
  FaultCounts sum;
  for (const auto& store : faulty_) {
    const FaultCounts counts = store->counts();
    sum.lost_before += counts.lost_before;
    sum.lost_after += counts.lost_after;
    sum.timed_out += counts.timed_out;
    sum.delayed += counts.delayed;
  }
  return sum;
}

}  // namespace het
