// StoreContract: what every EmbeddingStore must do, as one test suite. It runs
// against whatever a StoreDeployment puts together:
//
//   INSTANTIATE_TEST_SUITE_P(Shard, StoreContract,
//       testing::Values(StoreContractCase{"in_process", [] { ... }}),
//       NameOfStoreContractCase);
//
// Its tests are in four files: reads, pushes (and the shapes of requests),
// administration with restarts, and checkpoints.
//
// Ownership: a test owns its deployment. Thread-safety: as gtest.

#ifndef HET_TF_KERNELS_TESTING_STORE_CONTRACT_H_
#define HET_TF_KERNELS_TESTING_STORE_CONTRACT_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/store/embedding_store.h"
#include "kernels/testing/checkpoint_site.h"
#include "kernels/testing/owned_request.h"

namespace het {

// Shards that run, and stores that reach them.
class StoreDeployment {
 public:
  virtual ~StoreDeployment() = default;
  // A store as a worker with a new incarnation has it.
  virtual std::shared_ptr<EmbeddingStore> NewWorker() = 0;
  virtual std::size_t shards() const = 0;
  // The shard is another incarnation from now on, without any table.
  virtual void RestartShard(std::size_t shard) = 0;
  // The shards' directory.
  CheckpointSite& checkpoints() { return checkpoints_; }

 private:
  CheckpointSite checkpoints_;
};

struct StoreContractCase {
  std::string name;
  std::function<std::unique_ptr<StoreDeployment>()> deploy;
};

// Refers to the files of the tests: whoever instantiates the suite with it links
// them all.
std::string NameOfStoreContractCase(
    const testing::TestParamInfo<StoreContractCase>& info);

namespace internal {
void LinkStoreContractReads();
void LinkStoreContractPushes();
void LinkStoreContractAdministration();
void LinkStoreContractCheckpoints();
}  // namespace internal

class StoreContract : public testing::TestWithParam<StoreContractCase> {
 protected:
  void SetUp() override;

  // Ids that lose their last bits in float or double, and the ends of the range.
  static const std::vector<RowId>& AwkwardIds();

  // A table of dimension 2 with initial values 0, trained by SGD.
  static TableSpec PlainTable(const std::string& name);
  static TableSpec AdagradTable(const std::string& name);

  // Runs the exchange; an error is a failure of the test.
  ExchangeReply Exchange(EmbeddingStore& store, OwnedRequest& request);
  Status ExchangeStatus(EmbeddingStore& store, OwnedRequest& request);
  void Push(EmbeddingStore& store, TableId table, RowId id, Clock clock,
            const std::vector<float>& gradient, float learning_rate = 1.0f);

  struct Row {
    std::vector<float> values;
    Clock clock = 0;
    float step_scale = 0;
    bool initial = false;  // without values: nobody has pushed to it
  };
  Row Fetch(EmbeddingStore& store, TableId table, RowId id);
  // Rows that have been pushed to, over all shards.
  std::int64_t StoredRows(EmbeddingStore& store, const std::string& table);

  static Row ToRow(const RowView& view, std::size_t dimension);

  std::unique_ptr<StoreDeployment> deployment_;
  std::shared_ptr<EmbeddingStore> store_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_STORE_CONTRACT_H_
