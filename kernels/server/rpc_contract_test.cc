// The store contract, run against clients of servers on the loopback interface
// and on unix sockets, alone and as the whole chain that a worker opens.

#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "kernels/base/incarnation.h"
#include "kernels/rpc/connect.h"
#include "kernels/rpc/shard_client.h"
#include "kernels/server/shard_server.h"
#include "kernels/shard/shard.h"
#include "kernels/store/retrying_store.h"
#include "kernels/testing/store_contract.h"

namespace het {
namespace {

class RpcDeployment final : public StoreDeployment {
 public:
  enum class Client { kAlone, kWholeChain };

  RpcDeployment(std::size_t shards, bool unix_sockets, Client client)
      : client_(client) {
    char pattern[] = "/tmp/het_tf_rpc_XXXXXX";
    folder_ = mkdtemp(pattern);
    for (std::size_t s = 0; s < shards; ++s) {
      servers_.emplace_back();
      addresses_.push_back(unix_sockets ? "unix:" + folder_ + "/" +
                                              std::to_string(s)
                                        : "127.0.0.1:0");
      Start(s);
    }
  }
  ~RpcDeployment() override {
    for (Server& server : servers_) server.Stop();
    for (const std::string& address : addresses_) {
      if (address[0] == 'u') unlink(address.c_str() + 5);
    }
    rmdir(folder_.c_str());
  }

  std::shared_ptr<EmbeddingStore> NewWorker() override {
    if (client_ == Client::kWholeChain) {
      StoreOptions options;
      options.addresses = addresses_;
      auto store = OpenStore(options);
      EXPECT_TRUE(store.ok()) << store.status().ToString();
      return store.ok() ? *store : nullptr;
    }
    ShardClientOptions options;
    options.address = addresses_[0];
    options.count = 1;
    auto client = ShardClient::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status().ToString();
    if (!client.ok()) return nullptr;
    // A server that restarts breaks the connection: one repeat mends it.
    RetryOptions retry;
    retry.worker = DrawIncarnation();
    retry.shard = (*client)->shard_incarnation();
    retry.name = addresses_[0];
    return std::make_shared<RetryingStore>(
        std::shared_ptr<ShardClient>(std::move(client).Take()), retry,
        SystemTimer());
  }
  std::size_t shards() const override { return servers_.size(); }
  void RestartShard(std::size_t shard) override {
    servers_[shard].Stop();
    Start(shard);
  }

 private:
  struct Server {
    void Stop() {
      if (shard != nullptr) shard->Close();
      server.reset();
    }
    std::shared_ptr<Shard> shard;
    std::unique_ptr<ShardServer> server;
  };

  void Start(std::size_t s) {
    ShardServerOptions options;
    options.listen = addresses_[s];
    options.service.checkpoint_directory = checkpoints().directory();
    servers_[s].shard = std::make_shared<Shard>();
    auto server = ShardServer::Start(options, servers_[s].shard,
                                     servers_[s].shard->incarnation());
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    servers_[s].server = std::move(server).Take();
    addresses_[s] = servers_[s].server->address();
  }

  const Client client_;
  std::string folder_;
  std::vector<std::string> addresses_;
  std::vector<Server> servers_;
};

StoreContractCase Case(const std::string& name, std::size_t shards,
                       bool unix_sockets, RpcDeployment::Client client) {
  return {name, [=] {
            return std::make_unique<RpcDeployment>(shards, unix_sockets,
                                                   client);
          }};
}

INSTANTIATE_TEST_SUITE_P(
    Rpc, StoreContract,
    testing::Values(
        Case("client_over_tcp", 1, false, RpcDeployment::Client::kAlone),
        Case("client_over_unix_socket", 1, true,
             RpcDeployment::Client::kAlone),
        Case("chain_to_two_shards", 2, false,
             RpcDeployment::Client::kWholeChain),
        Case("chain_to_three_shards_over_unix_sockets", 3, true,
             RpcDeployment::Client::kWholeChain)),
    NameOfStoreContractCase);

}  // namespace
}  // namespace het
