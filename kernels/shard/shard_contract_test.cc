// The store contract, run against one shard in this process.

#include "kernels/testing/local_deployment.h"
#include "kernels/testing/store_contract.h"

namespace het {
namespace {

INSTANTIATE_TEST_SUITE_P(
    Shard, StoreContract,
    testing::Values(StoreContractCase{
        "in_process",
        [] {
          LocalDeployment::Options options;
          options.retrying = false;
          return std::make_unique<LocalDeployment>(options);
        }}),
    NameOfStoreContractCase);

}  // namespace
}  // namespace het
