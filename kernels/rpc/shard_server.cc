#include "kernels/rpc/shard_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace het {

namespace {

// gRPC replaces a socket file, whoever listens on it.
bool SomebodyListens(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  path.copy(address.sun_path, path.size());
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool connected = connect(probe, reinterpret_cast<sockaddr*>(&address),
                                 sizeof address) == 0;
  close(probe);
  return connected;
}

}  // namespace

ShardServer::ShardServer(std::shared_ptr<EmbeddingStore> store,
                         Incarnation incarnation,
                         const ShardServerOptions& options)
    : service_(std::move(store), incarnation, options.place,
               options.checkpoint_directory) {}

ShardServer::~ShardServer() { Stop(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<ShardServer>> ShardServer::Start(
    const ShardServerOptions& options, std::shared_ptr<EmbeddingStore> store,
    Incarnation incarnation) {
  const bool unix_socket = options.listen.rfind("unix:", 0) == 0;
  const std::size_t colon = options.listen.rfind(':');
  if (colon == std::string::npos || colon + 1 == options.listen.size()) {
    return InvalidArgument("cannot listen on '", options.listen,
                           "': expected host:port or unix:/path");
  }
  if (unix_socket && SomebodyListens(options.listen.substr(5))) {
    return AlreadyExists("cannot listen on ", options.listen,
                         ": the socket is in use, another server answers there");
  }
  std::unique_ptr<ShardServer> server(
      new ShardServer(std::move(store), incarnation, options));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(),
                           &port);
  // Two servers on one port would each see half of the workers.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Workers look after connections on which a call waits.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             500);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  const int limit = static_cast<int>(
      std::min<std::size_t>(options.max_message_bytes,
                            std::numeric_limits<int>::max()));
  builder.SetMaxReceiveMessageSize(limit);
  builder.SetMaxSendMessageSize(limit);
  builder.RegisterService(&server->service_);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || (!unix_socket && port == 0)) {
    return AlreadyExists("cannot listen on ", options.listen,
                         ": the port is in use, or the address does not belong "
                         "to this host");
  }
  server->address_ = unix_socket ? options.listen
                                 : options.listen.substr(0, colon + 1) +
                                       std::to_string(port);
  return server;
}

void ShardServer::Stop(std::chrono::milliseconds grace) {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
}

}  // namespace het
