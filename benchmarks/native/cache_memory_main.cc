// The memory of a worker's cache: rows with their pending gradients, and what the
// cache keeps beside them.
//
//   cache_memory_main ROWS DIMENSION POLICY
//
// Prints one JSON object. The shard is in this process and stays empty: every row
// is looked up and updated twice, and the staleness is such that nothing is
// pushed. Memory is the process's resident set, less what it was before.

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iostream>
#include <memory>
#include <vector>

#include "kernels/base/hash.h"
#include "kernels/cache/embedding_cache.h"
#include "kernels/rpc/connect.h"

namespace het {
namespace {

constexpr std::size_t kBatch = 4096;

std::int64_t ResidentBytes() {
  std::int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

void ExitUnlessOk(const Status& status) {
  if (status.ok()) return;
  std::cerr << status.ToString() << "\n";
  std::exit(1);
}

template <typename Start>
void Wait(const Start& start) {
  std::promise<Status> done;
  start([&](Status status) { done.set_value(std::move(status)); });
  ExitUnlessOk(done.get_future().get());
}

int Run(std::size_t rows, std::size_t dimension, const char* policy) {
  TableSpec spec;
  spec.name = "t";
  spec.dimension = dimension;
  CacheOptions options;
  options.capacity = static_cast<std::int64_t>(rows);
  options.staleness = 1000000;
  options.policy = policy;
  auto store = OpenStore({});
  ExitUnlessOk(store.status());
  auto created = EmbeddingCache::Create(spec, options, *store);
  ExitUnlessOk(created.status());
  EmbeddingCache& cache = **created;

  std::vector<RowId> ids(kBatch);
  std::vector<float> values(kBatch * dimension, 1e-3f);
  const std::int64_t before = ResidentBytes();
  for (int round = 0; round < 2; ++round) {
    for (std::size_t from = 0; from < rows; from += kBatch) {
      ids.resize(std::min(kBatch, rows - from));
      for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<RowId>(Mix64(from + i + 1));
      }
      Wait([&](EmbeddingCache::Done done) {
        cache.Lookup(ids, ReadMode::kTraining, values.data(), std::move(done));
      });
      Wait([&](EmbeddingCache::Done done) {
        cache.Update(ids, values.data(), 0.01f, 1.0f, std::move(done));
      });
    }
  }
  const std::int64_t after = ResidentBytes();
  const CacheStats stats = cache.stats();
  if (stats.pending_rows != static_cast<std::int64_t>(rows)) {
    std::cerr << "only " << stats.pending_rows << " rows are dirty, expected "
              << rows << "\n";
    return 1;
  }
  std::printf("{\"rows\": %zu, \"bytes\": %lld}\n", rows,
              static_cast<long long>(after - before));
  return 0;
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) {
  if (argc != 4 || std::atoll(argv[1]) < 1 || std::atoll(argv[2]) < 1) {
    std::cerr << "usage: " << argv[0] << " ROWS DIMENSION POLICY\n";
    return 2;
  }
  return het::Run(static_cast<std::size_t>(std::atoll(argv[1])),
                  static_cast<std::size_t>(std::atoll(argv[2])), argv[3]);
}
