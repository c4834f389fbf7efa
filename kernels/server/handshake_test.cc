// First contact: versions and places are checked, and say so when they differ.

#include <grpcpp/grpcpp.h>

#include "kernels/base/version.h"
#include "kernels/server/shard_server_fixture.h"
#include "protos/shard.grpc.pb.h"

namespace het {
namespace {

class OtherVersion final : public v1::EmbeddingShard::Service {
  grpc::Status Hello(grpc::ServerContext*, const v1::HelloRequest*,
                     v1::HelloReply* reply) override {
    reply->set_protocol_version(kProtocolVersion + 1);
    reply->set_package_version("9.8.7");
    reply->set_incarnation(1);
    return grpc::Status::OK;
  }
};

// A gRPC server that is no shard, or one of another version.
class OtherServer {
 public:
  explicit OtherServer(grpc::Service* service) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    address = "127.0.0.1:" + std::to_string(port);
  }
  ~OtherServer() { server_->Shutdown(); }
  std::string address;

 private:
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(ShardServerTest, AnotherProtocolVersionIsRefusedNamingBoth) {
  OtherVersion service;
  const OtherServer server(&service);
  options_.listen = server.address;
  const Status status = ShardClient::Connect(ClientOptions()).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  for (const std::string& part :
       {std::string("9.8.7"), std::to_string(kProtocolVersion + 1),
        std::string(kVersion), server.address}) {
    EXPECT_TRUE(Contains(status, part)) << status.ToString();
  }
}

TEST_F(ShardServerTest, AWorkerOfAnotherVersionIsToldOursAndTakesNoPlace) {
  StartServer();
  const auto stub = v1::EmbeddingShard::NewStub(grpc::CreateChannel(
      options_.listen, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::HelloRequest request;
  v1::HelloReply reply;
  request.set_protocol_version(kProtocolVersion + 1);
  request.set_shard_index(3);
  request.set_shard_count(4);
  ASSERT_TRUE(stub->Hello(&context, request, &reply).ok());
  EXPECT_EQ(reply.protocol_version(), static_cast<unsigned>(kProtocolVersion));
  EXPECT_EQ(reply.package_version(), kVersion);
  ShardClientOptions options = ClientOptions();
  options.count = 1;
  EXPECT_NE(Connect(options), nullptr);
}

TEST_F(ShardServerTest, TheNewestVersionThatBothSpeakIsTaken) {
  StartServer();
  const auto stub = v1::EmbeddingShard::NewStub(grpc::CreateChannel(
      options_.listen, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::HelloRequest request;
  v1::HelloReply reply;
  request.set_protocol_version(kProtocolVersion + 7);
  request.set_oldest_protocol_version(kOldestProtocolVersion - 1);
  request.set_shard_index(3);
  request.set_shard_count(4);
  ASSERT_TRUE(stub->Hello(&context, request, &reply).ok());
  EXPECT_EQ(reply.protocol_version(), static_cast<unsigned>(kProtocolVersion));
  EXPECT_EQ(reply.oldest_protocol_version(),
            static_cast<unsigned>(kOldestProtocolVersion));
  ShardClientOptions options = ClientOptions();
  options.count = 1;  // the first worker's word about the place counts
  EXPECT_FALSE(ShardClient::Connect(options).ok());
}

TEST_F(ShardServerTest, WhatIsNotAShardIsSaidToBeNone) {
  v1::EmbeddingShard::Service nothing;  // answers every call UNIMPLEMENTED
  const OtherServer server(&nothing);
  options_.listen = server.address;
  const Status status = ShardClient::Connect(ClientOptions()).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status, "is not a het_tf shard")) << status.ToString();
}

TEST_F(ShardServerTest, AnotherPlaceThanTheFirstWorkersIsRefused) {
  StartServer();
  ShardClientOptions options = ClientOptions();
  options.index = 1;
  options.count = 2;
  EXPECT_NE(Connect(options), nullptr);
  EXPECT_NE(Connect(options), nullptr);
  options.index = 0;
  const Status status = ShardClient::Connect(options).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status, "number 1 of 2")) << status.ToString();
  EXPECT_TRUE(Contains(status, "number 0 of 2")) << status.ToString();
  EXPECT_TRUE(Contains(status, options.address)) << status.ToString();
  options.index = 2;
  EXPECT_EQ(ShardClient::Connect(options).status().code(),
            StatusCode::kInvalidArgument);
  options.count = 0;  // no claim
  EXPECT_NE(Connect(options), nullptr);
}

TEST_F(ShardServerTest, APlaceGivenAtTheStartHoldsForEveryWorker) {
  options_.service.place = {0, 3};
  StartServer();
  ShardClientOptions options = ClientOptions();
  options.count = 2;
  EXPECT_EQ(ShardClient::Connect(options).status().code(),
            StatusCode::kFailedPrecondition);
  options.count = 3;
  EXPECT_NE(Connect(options), nullptr);
}

}  // namespace
}  // namespace het
