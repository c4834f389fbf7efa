// The store contract, run against the stores that wrap others: two shards, three
// shards behind the retrier and a bad network, and exchanges in pieces of a row.

#include "kernels/testing/local_deployment.h"
#include "kernels/testing/store_contract.h"

namespace het {
namespace {

std::unique_ptr<StoreDeployment> Deploy(
    std::size_t shards, const FaultOptions& faults,
    std::size_t piece_bytes = ShardedStore::kPieceBytes) {
  LocalDeployment::Options options;
  options.shards = shards;
  options.faults = faults;
  options.piece_bytes = piece_bytes;
  return std::make_unique<LocalDeployment>(options);
}

FaultOptions Faults(std::uint64_t seed) {
  FaultOptions faults;
  faults.seed = seed;
  faults.lost_before = 100;
  faults.lost_after = 150;
  faults.timed_out = 80;
  faults.delayed = 250;
  return faults;
}

INSTANTIATE_TEST_SUITE_P(
    Stores, StoreContract,
    testing::Values(
        StoreContractCase{"one_retrying", [] { return Deploy(1, {}); }},
        StoreContractCase{"two_shards", [] { return Deploy(2, {}); }},
        StoreContractCase{"three_shards_with_faults",
                          [] { return Deploy(3, Faults(1)); }},
        StoreContractCase{"three_shards_with_other_faults",
                          [] { return Deploy(3, Faults(2)); }},
        StoreContractCase{"three_shards_with_lost_answers",
                          [] {
                            FaultOptions faults;
                            faults.seed = 3;
                            faults.lost_after = 500;
                            return Deploy(3, faults);
                          }},
        StoreContractCase{"one_shard_in_pieces",
                          [] { return Deploy(1, {}, 1); }},
        StoreContractCase{"three_shards_in_pieces_with_faults",
                          [] { return Deploy(3, Faults(4), 1); }}),
    NameOfStoreContractCase);

// The suite would pass for a network that never fails: it does.
TEST(FaultInjection, EveryKindOfFaultHappens) {
  LocalDeployment::Options options;
  options.shards = 3;
  options.faults = Faults(1);
  LocalDeployment deployment(options);
  const std::shared_ptr<EmbeddingStore> store = deployment.NewWorker();
  TableSpec spec;
  spec.name = "t";
  spec.dimension = 1;
  spec.initializer = {"zeros", {}};
  ASSERT_TRUE(store->CreateTable(spec).ok());
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec.id());
  for (RowId id = 0; id < 50; ++id) table.Push(id, 1, 1, {-1}).Fetch(id);
  for (int i = 1; i <= 60; ++i) {
    const auto reply = ExchangeAndWait(*store, request.request());
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    for (const RowView& row : reply->tables[0].fetched) {
      ASSERT_EQ(*row.values, i);
    }
  }
  const FaultCounts counts = deployment.faults();
  EXPECT_GT(counts.lost_before, 5);
  EXPECT_GT(counts.lost_after, 5);
  EXPECT_GT(counts.timed_out, 5);
  EXPECT_GT(counts.delayed, 5);
  const auto stats = store->Stats();
  ASSERT_TRUE(stats.ok());
  std::int64_t repeated = 0;
  for (const ShardStats& shard : *stats) {
    EXPECT_EQ(shard.exchanges, 60);
    repeated += shard.repeated_exchanges;
  }
  EXPECT_GT(repeated, 5);
}

}  // namespace
}  // namespace het
