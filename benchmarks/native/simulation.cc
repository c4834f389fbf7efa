#include "benchmarks/native/simulation.h"

#include <algorithm>
#include <future>
#include <utility>

#include "kernels/base/incarnation.h"
#include "kernels/store/combining_store.h"
#include "kernels/store/retrying_store.h"
#include "kernels/store/sharded_store.h"

namespace het {
namespace {

template <typename Call>
Status Wait(Call call) {
  std::promise<Status> ended;
  call([&](Status status) { ended.set_value(std::move(status)); });
  return ended.get_future().get();
}

}  // namespace

SimulationCounts::SimulationCounts(const SimulationOptions& options)
    : workers(options.formats.size()),
      shards(options.shards, LinkTraffic(options.formats.size())),
      busiest_worker(options.formats.size()),
      busiest_shard(options.formats.size()),
      busiest(options.formats.size()) {}

Simulation::Simulation(const SimulationOptions& options)
    : options_(options), counts_(options) {}

Result<std::unique_ptr<Simulation>> Simulation::Create(
    const SimulationOptions& options) {
  if (options.workers == 0 || options.shards == 0) {
    return InvalidArgument(options.workers, " workers and ", options.shards,
                           " shards were asked for, expected one at least");
  }
  std::unique_ptr<Simulation> made(new Simulation(options));
  for (std::size_t s = 0; s < options.shards; ++s) {
    made->shards_.push_back(std::make_shared<Shard>());
  }
  TableSpec spec;
  spec.name = "simulation";
  spec.dimension = options.dimension;
  const CodecStoreOptions codec = {options.formats, options.trained,
                                   options.dimension};
  for (std::size_t w = 0; w < options.workers; ++w) {
    RetryOptions retry;
    retry.worker = DrawIncarnation();
    std::vector<std::shared_ptr<EmbeddingStore>> chains;
    made->links_.emplace_back();
    for (const std::shared_ptr<Shard>& shard : made->shards_) {
      retry.shard = shard->incarnation();
      made->links_[w].push_back(std::make_shared<CodecStore>(shard, codec));
      chains.push_back(std::make_shared<RetryingStore>(made->links_[w].back(),
                                                       retry, SystemTimer()));
    }
    auto cache = EmbeddingCache::Create(
        spec, options.cache,
        std::make_shared<CombiningStore>(
            std::make_shared<ShardedStore>(std::move(chains))));
    HET_RETURN_IF_ERROR(cache.status());
    made->caches_.push_back(*cache);
  }
  return made;
}

void Simulation::Restart() {
  counts_ = SimulationCounts(options_);
  AddLookups(-1, &counts_);
}

SimulationCounts Simulation::counts() const {
  SimulationCounts counts = counts_;
  AddLookups(1, &counts);
  return counts;
}

Status Simulation::Step(const std::vector<std::vector<RowId>>& batches) {
  std::size_t largest = 0;
  for (const auto& batch : batches) largest = std::max(largest, batch.size());
  if (rows_.size() < largest * options_.dimension) {
    rows_.resize(largest * options_.dimension);
    gradients_.resize(rows_.size(), 1e-3f);
  }
  for (const bool update : {false, true}) {
    for (std::size_t w = 0; w < options_.workers; ++w) {
      HET_RETURN_IF_ERROR(Wait([&](EmbeddingCache::Done done) {
        const Span<const RowId> ids(batches[w]);
        update ? caches_[w]->Update(ids, gradients_.data(), 0.01f, 1, done)
               : caches_[w]->Lookup(ids, ReadMode::kTraining, rows_.data(),
                                    done);
      }));
    }
  }
  CountStep();
  return OkStatus();
}

void Simulation::AddLookups(std::int64_t sign,
                            SimulationCounts* counts) const {
  for (const auto& cache : caches_) {
    const CacheStats stats = cache->stats();
    counts->ids += sign * stats.ids;
    counts->unique += sign * stats.unique_ids;
    counts->hits += sign * stats.hits;
    counts->misses += sign * stats.misses;
    counts->invalid += sign * stats.invalid;
    counts->evictions += sign * stats.evictions;
  }
}

void Simulation::CountStep() {
  const std::size_t formats = options_.formats.size();
  std::vector<LinkTraffic> of_shards(options_.shards, LinkTraffic(formats));
  std::vector<std::int64_t> worker(formats), shard(formats);
  const auto busier = [&](const LinkTraffic& link,
                          std::vector<std::int64_t>* most) {
    for (std::size_t f = 0; f < formats; ++f) {
      (*most)[f] = std::max(
          {(*most)[f], link.sent[f].total(), link.received[f].total()});
    }
  };
  std::int64_t rounds = 0;
  for (const auto& links : links_) {
    LinkTraffic of_worker(formats);
    for (std::size_t s = 0; s < links.size(); ++s) {
      const LinkTraffic link = links[s]->Take();
      of_worker += link;
      of_shards[s] += link;
      rounds = std::max(rounds, link.messages);
    }
    counts_.workers += of_worker;
    busier(of_worker, &worker);
  }
  for (std::size_t s = 0; s < of_shards.size(); ++s) {
    counts_.shards[s] += of_shards[s];
    busier(of_shards[s], &shard);
  }
  ++counts_.steps;
  counts_.rounds += rounds;
  for (std::size_t f = 0; f < formats; ++f) {
    counts_.busiest_worker[f] += worker[f];
    counts_.busiest_shard[f] += shard[f];
    counts_.busiest[f] += std::max(worker[f], shard[f]);
  }
}

Result<std::int64_t> Simulation::Flush() {
  std::int64_t rows = 0;
  for (const auto& cache : caches_) {
    HET_RETURN_IF_ERROR(
        Wait([&](EmbeddingCache::Done done) { cache->Flush(done); }));
  }
  for (const auto& shard : shards_) {
    const Result<std::vector<ShardStats>> stats = shard->Stats();
    HET_RETURN_IF_ERROR(stats.status());
    for (const TableStats& table : (*stats)[0].tables) rows += table.rows;
  }
  for (const auto& links : links_) {
    for (const auto& link : links) link->Take();
  }
  return rows;
}

}  // namespace het
