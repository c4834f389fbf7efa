#include "kernels/server/shard_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/rpc/credentials.h"

namespace het {

namespace {

constexpr char kNameMethod[] = "/het.v1.EmbeddingShard/-";
// A stranger that begins a TLS handshake and does not end it.
constexpr int kHandshakeMilliseconds = 10000;
// Calls under way on a connection; a worker's others wait on its side.
constexpr int kStreams = 512;

// The calls of the service are generic (ShardService), which have no name.
// Reflection knows it by this one, of a method that nobody calls; it
// would read no message.
class Name final : public grpc::Service {
 public:
  Name() {
    AddMethod(new grpc::internal::RpcServiceMethod(
        kNameMethod, grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
    MarkMethodCallback(
        0, new grpc::internal::CallbackBidiHandler<grpc::ByteBuffer,
                                                   grpc::ByteBuffer>(
               [](grpc::CallbackServerContext*) { return new Nobody; }));
  }

 private:
  struct Nobody final
      : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
    Nobody() { Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "")); }
    void OnDone() override { delete this; }
  };
};

// What is linked in has reflection in every server.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(
      std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    const auto is_reflection = [](const auto& plugin) {
      return plugin->name() == "proto_server_reflection";
    };
    plugins->erase(std::remove_if(plugins->begin(), plugins->end(), is_reflection),
                   plugins->end());
  }
};

// FAILED_PRECONDITION for an address that others reach and that is not safe.
Status CheckSafe(const ShardServerOptions& options, const Tokens& tokens) {
  const bool encrypted = !options.security.tls_cert.empty();
  if (!encrypted && !IsLocal(options.listen)) {
    if (!options.insecure) {
      return FailedPrecondition(
          options.listen, " is open to the network, and without TLS whoever ",
          "reaches it reads and writes the rows: give --tls-cert and --tls-key ",
          "(and --tls-ca, to let in only who has a certificate, or --token-file), ",
          "or say --insecure (het_tf's insecure, HET_TF_INSECURE=1) on a network ",
          "that only this job uses");
    }
    if (tokens.any()) {
      return FailedPrecondition(
          "tokens on ", options.listen, " without TLS could be read by others on ",
          "the network: give --tls-cert and --tls-key, too");
    }
  }
  if (!options.metrics_listen.empty() && !IsLocal(options.metrics_listen) &&
      !options.metrics_insecure) {
    return FailedPrecondition(
        "metrics on ", options.metrics_listen, " can be read by whoever reaches ",
        "it, without TLS: say --metrics-insecure, or serve them on 127.0.0.1");
  }
  return OkStatus();
}

}  // namespace

ShardServer::ShardServer(std::shared_ptr<EmbeddingStore> store,
                         Incarnation incarnation,
                         const ShardServerOptions& options, Tokens tokens)
    : service_(std::move(store), incarnation, options.service, std::move(tokens),
               !options.security.tls_cert.empty()),
      name_(std::make_unique<Name>()) {}

ShardServer::~ShardServer() { Stop(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<ShardServer>> ShardServer::Start(
    const ShardServerOptions& options, std::shared_ptr<EmbeddingStore> store,
    Incarnation incarnation) {
  HET_RETURN_IF_ERROR(ListeningSockets::CheckAddress(options.listen));
  auto tokens = ReadTokens(options.security);
  HET_RETURN_IF_ERROR(tokens.status());
  HET_RETURN_IF_ERROR(CheckSafe(options, *tokens));
  auto credentials = ShardCredentials(options.security);
  HET_RETURN_IF_ERROR(credentials.status());
  std::unique_ptr<ShardServer> server(
      new ShardServer(std::move(store), incarnation, options, *tokens));

  ConnectionAcceptor::Options connections;
  connections.listen = options.listen;
  connections.max_connections = options.max_connections;
  connections.patience = options.patience;
  connections.accepted = [server = server.get()](int listener, int connection) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters given;
    given.listener_fd = listener;
    given.fd = connection;
    server->to_grpc_->HandleNewConnection(&given);
  };
  connections.refused = [server = server.get()](const std::string& reason,
                                                const std::string& peer) {
    server->service_.doorkeeper().Refused(reason, peer);
  };
  auto acceptor = ConnectionAcceptor::Listen(std::move(connections));
  HET_RETURN_IF_ERROR(acceptor.status());
  server->acceptor_ = std::move(acceptor).Take();
  server->service_.SetConnections(server->acceptor_.get());
  if (!options.metrics_listen.empty()) {
    auto page =
        MetricsPage::Serve(options.metrics_listen, server->service_.metrics());
    HET_RETURN_IF_ERROR(page.status());
    server->metrics_ = std::move(page).Take();
  }

  // No health service of gRPC's, which would read a stranger's message:
  // ShardService answers.
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  if (!options.reflection) {
    builder.SetOption(std::make_unique<WithoutReflection>());
  }
  server->to_grpc_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      std::move(credentials).Take());
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             kHandshakeMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreams);
  // gRPC would compare a message's size with its limit after it has inflated it.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  // Workers look after connections on which a call waits.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             500);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  const int limit = static_cast<int>(
      std::min<std::size_t>(options.max_message_bytes,
                            std::numeric_limits<int>::max()));
  builder.SetMaxReceiveMessageSize(limit);
  builder.SetMaxSendMessageSize(limit);
  builder.RegisterService(server->name_.get());
  builder.RegisterCallbackGenericService(&server->service_);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) {
    return Internal("gRPC cannot start a server for ", options.listen);
  }
  server->acceptor_->Begin();
  return server;
}

void ShardServer::Stop(std::chrono::milliseconds grace) {
  if (acceptor_ != nullptr) acceptor_->Stop();
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
}

}  // namespace het
