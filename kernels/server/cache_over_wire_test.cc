// A cache that trains over the wire: the same bits as with a shard in the process
// when rows and gradients travel as float32, near them in the other formats, with
// fewer bytes.

#include <cmath>
#include <future>
#include <random>

#include "kernels/cache/embedding_cache.h"
#include "kernels/server/shard_server_fixture.h"
#include "kernels/testing/initial_row.h"

namespace het {
namespace {

class CacheOverWire : public ShardServerTest {
 protected:
  CacheOverWire() {
    spec_.dimension = 8;
    spec_.seed = 3;
    spec_.initializer = {"normal", {}};
    spec_.optimizer = {"adagrad", {}};
    options_of_cache_.capacity = 50;
    options_of_cache_.staleness = 3;
  }

  std::shared_ptr<EmbeddingCache> Cache(std::shared_ptr<EmbeddingStore> store) {
    auto cache = EmbeddingCache::Create(spec_, options_of_cache_,
                                        std::move(store));
    EXPECT_TRUE(cache.ok()) << cache.status().ToString();
    return *cache;
  }

  static std::vector<float> Read(EmbeddingCache& cache,
                                 const std::vector<RowId>& ids, ReadMode mode) {
    std::vector<float> rows(ids.size() * cache.table().dimension);
    std::promise<Status> done;
    cache.Lookup(ids, mode, rows.data(),
                 [&](Status status) { done.set_value(std::move(status)); });
    const Status status = done.get_future().get();
    EXPECT_TRUE(status.ok()) << status.ToString();
    return rows;
  }

  // Every row is drawn towards 1 for 60 steps; then all are read afresh.
  static std::vector<float> Train(EmbeddingCache& cache) {
    std::mt19937_64 random(1);
    for (int step = 0; step < 60; ++step) {
      std::vector<RowId> ids(40);
      for (RowId& id : ids) {
        id = static_cast<RowId>(random() % 100) * 1234567 - 50000000;
      }
      std::vector<float> gradients = Read(cache, ids, ReadMode::kTraining);
      for (float& value : gradients) value -= 1;
      std::promise<Status> done;
      cache.Update(ids, gradients.data(), 0.1f, 1, [&](Status status) {
        done.set_value(std::move(status));
      });
      const Status status = done.get_future().get();
      EXPECT_TRUE(status.ok()) << status.ToString();
    }
    std::promise<Status> flushed;
    cache.Flush([&](Status status) { flushed.set_value(std::move(status)); });
    EXPECT_TRUE(flushed.get_future().get().ok());
    std::vector<RowId> all;
    for (RowId i = 0; i < 100; ++i) all.push_back(i * 1234567 - 50000000);
    return Read(cache, all, ReadMode::kFresh);
  }

  CacheOptions options_of_cache_;
};

TEST_F(CacheOverWire, UntouchedRowsAreComputedToTheSameBitsInEveryFormat) {
  StartServer();
  const std::vector<RowId> ids = {5, -7, RowId{1} << 60};
  for (std::uint64_t format = 0; format < kWireFormats; ++format) {
    options_of_cache_.row_format = static_cast<WireFormat>(format);
    const auto store = Open({});
    const auto cache = Cache(store);
    const std::vector<float> rows = Read(*cache, ids, ReadMode::kFresh);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::vector<float> expected = InitialRow(spec_, ids[i]);
      for (std::size_t d = 0; d < 8; ++d) {
        EXPECT_EQ(rows[8 * i + d], expected[d]);
      }
    }
    EXPECT_LT(store->traffic().received.rows, 6);
  }
}

TEST_F(CacheOverWire, Float32TrainsToTheBitsOfAShardInTheProcess) {
  StartServer();
  EXPECT_EQ(Train(*Cache(Open({}))), Train(*Cache(*OpenStore({}))));
}

TEST_F(CacheOverWire, SmallerFormatsTrainNearlyAlikeWithFewerBytes) {
  const std::vector<float> exact = Train(*Cache(*OpenStore({})));
  std::int64_t before = std::numeric_limits<std::int64_t>::max();
  for (const auto& [format, error] :
       {std::pair{WireFormat::kFloat32, 0.0},
        std::pair{WireFormat::kBfloat16, 0.03},
        std::pair{WireFormat::kFloat16, 0.005},
        std::pair{WireFormat::kInt8, 0.06}}) {
    SCOPED_TRACE(ToString(format));
    StartServer();
    options_of_cache_.row_format = format;
    options_of_cache_.gradient_format = format;
    const auto store = Open({});
    const std::vector<float> rows = Train(*Cache(store));
    double worst = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      worst = std::max(worst, std::abs(double{rows[i]} - double{exact[i]}));
    }
    EXPECT_LE(worst, error);
    const Traffic traffic = store->traffic();
    const std::int64_t payload = traffic.sent.gradients + traffic.received.rows;
    EXPECT_LE(payload, before);
    before = payload;
    const Traffic there = store->Stats()->front().traffic;
    EXPECT_EQ(there.received.gradients, traffic.sent.gradients);
    EXPECT_EQ(there.sent.rows, traffic.received.rows);
    StopServer();
    options_.listen = "127.0.0.1:0";
  }
}

}  // namespace
}  // namespace het
