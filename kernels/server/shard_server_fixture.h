// What the tests of server and client share: a shard behind a server on a free
// port of the loopback interface.
//
// Ownership: the fixture owns both. For one thread.

#ifndef HET_TF_KERNELS_SERVER_SHARD_SERVER_FIXTURE_H_
#define HET_TF_KERNELS_SERVER_SHARD_SERVER_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/rpc/connect.h"
#include "kernels/rpc/shard_client.h"
#include "kernels/server/shard_server.h"
#include "kernels/shard/shard.h"
#include "kernels/testing/owned_request.h"

namespace het {

class ShardServerTest : public testing::Test {
 protected:
  ShardServerTest() {
    options_.listen = "127.0.0.1:0";
    spec_.name = "t";
    spec_.dimension = 4;
    spec_.initializer = {"zeros", {}};
  }
  ~ShardServerTest() override { StopServer(); }

  void StartServer() {
    shard_ = std::make_shared<Shard>();
    auto server = ShardServer::Start(options_, shard_, shard_->incarnation());
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    server_ = std::move(server).Take();
    options_.listen = server_->address();
  }
  void StopServer() {
    if (shard_ != nullptr) shard_->Close();
    server_.reset();
  }

  ShardClientOptions ClientOptions() const {
    ShardClientOptions options;
    options.address = options_.listen;
    options.connect_timeout = std::chrono::milliseconds(20000);
    return options;
  }
  std::shared_ptr<ShardClient> Connect(const ShardClientOptions& options) {
    auto client = ShardClient::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status().ToString();
    return client.ok() ? std::shared_ptr<ShardClient>(std::move(client).Take())
                       : nullptr;
  }
  std::shared_ptr<EmbeddingStore> Open(StoreOptions options) {
    options.addresses = {options_.listen};
    auto store = OpenStore(options);
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    return store.ok() ? *store : nullptr;
  }

  static bool Contains(const Status& status, const std::string& text) {
    return status.message().find(text) != std::string::npos;
  }

  ShardServerOptions options_;
  std::shared_ptr<Shard> shard_;
  std::unique_ptr<ShardServer> server_;
  TableSpec spec_;
};

// A push of `rows` rows with a read of all of them.
inline void Fill(OwnedRequest* request, const TableSpec& spec, RowId rows) {
  OwnedRequest::Table& table = request->Add(spec.id());
  const std::vector<float> gradient(spec.dimension, -1);
  for (RowId id = 0; id < rows; ++id) table.Push(id, 1, 1, gradient).Fetch(id);
}

}  // namespace het

#endif  // HET_TF_KERNELS_SERVER_SHARD_SERVER_FIXTURE_H_
