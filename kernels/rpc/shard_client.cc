#include "kernels/rpc/shard_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/base/version.h"
#include "kernels/rpc/codec.h"
#include "kernels/rpc/credentials.h"
#include "kernels/rpc/messages.h"
#include "kernels/rpc/status_convert.h"
#include "kernels/rpc/traffic_counter.h"
#include "kernels/store/timer.h"
#include "protos/shard.grpc.pb.h"

namespace het {
namespace {

// How often a shard is asked that does not answer yet.
constexpr std::chrono::milliseconds kLook(500);
// How often a connection has to be ended before it is meant for this worker.
constexpr int kEndedOnPurpose = 3;

std::shared_ptr<grpc::Channel> MakeChannel(
    const ShardClientOptions& options,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  const int limit = static_cast<int>(
      std::min<std::size_t>(options.max_message_bytes,
                            std::numeric_limits<int>::max()));
  arguments.SetMaxReceiveMessageSize(limit);
  arguments.SetMaxSendMessageSize(limit);
  // RetryingStore repeats calls under their number; gRPC must not do so too.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Shards are peers on the cluster's network, never behind a web proxy.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A shard that restarts is found again soon.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A connection whose other end is gone without a word (a host that lost its
  // power, a pod that moved) is given up within an attempt, not when TCP does.
  const int patience = static_cast<int>(std::clamp<std::int64_t>(
      options.call_timeout.count() / 2, 1000, 30000));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, patience);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, patience);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return grpc::CreateCustomChannel(options.address, credentials, arguments);
}

bool Has(const std::string& message, const char* words) {
  return message.find(words) != std::string::npos;
}

// gRPC's words for a handshake that failed; waiting would not change it.
bool IsHandshakeFailure(const std::string& message) {
  return Has(message, "andshake failed") || Has(message, "peer certificate") ||
         Has(message, "verify failed") || Has(message, "Verification Check failed");
}

// ... and for a connection that has been taken and ended.
bool IsEnded(const std::string& message) {
  return Has(message, "andshake read failed") || Has(message, "Socket closed") ||
         Has(message, "onnection reset");
}

}  // namespace

struct ShardClient::Connection {
  Connection(const ShardClientOptions& with,
             const std::shared_ptr<grpc::ChannelCredentials>& credentials,
             const Tokens& tokens)
      : options(with),
        channel(MakeChannel(with, credentials)),
        stub(v1::EmbeddingShard::NewStub(channel)),
        generic(channel) {
    const std::string& worker =
        tokens.worker.empty() ? tokens.admin : tokens.worker;
    if (!worker.empty()) token = kTokenPrefix + worker;
    admin_token = tokens.admin.empty() ? token : kTokenPrefix + tokens.admin;
  }

  void Prepare(grpc::ClientContext* context) const {
    Prepare(context, options.call_timeout, token);
  }
  static void Prepare(grpc::ClientContext* context,
                      std::chrono::milliseconds timeout,
                      const std::string& token) {
    context->set_deadline(std::chrono::system_clock::now() + timeout);
    if (!token.empty()) context->AddMetadata(kTokenKey, token);
  }

  const ShardClientOptions options;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::EmbeddingShard::Stub> stub;
  grpc::GenericStub generic;
  std::string token;        // empty: none
  std::string admin_token;  // for administrative calls
  TrafficCounter traffic;
  Incarnation incarnation = 0;  // set once, by Connect
};

ShardClient::ShardClient(std::shared_ptr<Connection> connection)
    : connection_(std::move(connection)) {}

ShardClient::~ShardClient() = default;

Result<std::unique_ptr<ShardClient>> ShardClient::Connect(
    const ShardClientOptions& options) {
  auto tokens = ReadTokens(options.security);
  HET_RETURN_IF_ERROR(tokens.status());
  auto credentials = ClientCredentials(options.security);
  HET_RETURN_IF_ERROR(credentials.status());
  if (tokens->any() && options.security.tls_ca.empty() &&
      !IsLocal(options.address)) {
    return FailedPrecondition(
        "a token would go to ", options.address, " without TLS, and others on the "
        "network could read it: give tls_ca, too (HET_TF_TLS_CA)");
  }
  // The last call may be what holds the connection when it ends, on a thread of
  // gRPC's, which would then wait for itself: the timer's thread destroys it.
  const std::shared_ptr<Connection> connection(
      new Connection(options, *credentials, *tokens), [](Connection* unused) {
        SystemTimer()->Schedule(std::chrono::milliseconds(0),
                                [unused] { delete unused; });
      });
  v1::HelloRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_oldest_protocol_version(kOldestProtocolVersion);
  request.set_package_version(kVersion);
  request.set_shard_index(static_cast<std::uint32_t>(options.index));
  request.set_shard_count(static_cast<std::uint32_t>(options.count));
  v1::HelloReply reply;
  grpc::Status status;
  std::string last = "nothing answers";
  const auto end = std::chrono::system_clock::now() + options.connect_timeout;
  for (int ended = 0;;) {
    grpc::ClientContext context;
    Connection::Prepare(&context, options.connect_timeout, connection->token);
    context.set_deadline(end);
    status = connection->stub->Hello(&context, request, &reply);
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) break;
    last = status.error_message();
    // A shard that wants a certificate ends the connection without a word, and so
    // does one that is starting, now and then.
    const bool tls = !options.security.tls_ca.empty();
    ended = tls && IsEnded(last) ? ended + 1 : 0;
    if ((tls && IsHandshakeFailure(last)) || ended == kEndedOnPurpose) {
      return FailedPrecondition(
          "no TLS connection with ", options.address, " (", last,
          "): the shard has to speak TLS, with a certificate for this name by the "
          "CA in tls_ca (", options.security.tls_ca, "); one with a --tls-ca wants "
          "a certificate of its CA from the worker, too: ",
          options.security.tls_cert.empty()
              ? "give tls_cert and tls_key (HET_TF_TLS_CERT, HET_TF_TLS_KEY)"
              : "is " + options.security.tls_cert + " one, and not expired?");
    }
    const auto now = std::chrono::system_clock::now();
    if (now >= end) break;
    // It may be starting.
    connection->channel->WaitForStateChange(connection->channel->GetState(true),
                                            std::min(end, now + kLook));
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
      status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return Unavailable("no shard answered at ", options.address, " within ",
                       options.connect_timeout.count(),
                       " ms: is it running, is the address right",
                       options.security.tls_ca.empty()
                           ? ", and does it speak TLS (then give tls_ca)? ("
                           : ", and does it speak TLS? (",
                       last, ")");
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return FailedPrecondition("what answers at ", options.address,
                              " is not a het_tf shard: ",
                              status.error_message());
  }
  if (!status.ok()) return FromGrpc(status).WithContext(options.address);
  if (reply.protocol_version() < kOldestProtocolVersion ||
      reply.protocol_version() > kProtocolVersion) {
    return FailedPrecondition(
        "the shard at ", options.address, " is het_tf ",
        reply.package_version(), " and speaks protocol ",
        reply.protocol_version(), ", this worker is het_tf ", kVersion,
        " and speaks protocol ", kProtocolVersion,
        ": install the same version of het_tf everywhere");
  }
  connection->incarnation = reply.incarnation();
  return std::unique_ptr<ShardClient>(new ShardClient(connection));
}

Incarnation ShardClient::shard_incarnation() const {
  return connection_->incarnation;
}

void ShardClient::Exchange(const ExchangeRequest& request, ExchangeDone done) {
  struct Call {
    // First, so that it goes last: the context holds the channel too.
    std::shared_ptr<Connection> connection;
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer reply;
    std::vector<AskedRows> asked;
    ExchangeDone done;
  };
  auto call = std::make_shared<Call>();
  call->connection = connection_;
  call->done = std::move(done);
  call->asked = AskedRowsOf(request);
  TrafficBytes sent;
  call->request = EncodeRequest(request, &sent);
  if (call->request.Length() > connection_->options.max_message_bytes) {
    // Not INVALID_ARGUMENT: the shard has not seen its number.
    call->done(
        FailedPrecondition("an exchange of ", call->request.Length(),
                           " bytes is larger than max_message_bytes (",
                           connection_->options.max_message_bytes,
                           "): use smaller batches or raise the limit on both "
                           "sides"),
        {});
    return;
  }
  connection_->traffic.AddSent(sent);
  connection_->Prepare(&call->context);
  connection_->generic.UnaryCall(
      &call->context, kExchangeMethod, grpc::StubOptions(), &call->request,
      &call->reply, [call](grpc::Status grpc_status) {
        Status status = FromGrpc(grpc_status);
        if (status.code() == StatusCode::kResourceExhausted &&
            call->context.GetServerTrailingMetadata().count(kAnsweredKey) == 0) {
          // gRPC's word, not the shard's, which has not seen the number.
          status = FailedPrecondition(status.message());
        }
        ExchangeReply reply;
        if (status.ok()) {
          TrafficBytes received;
          status = DecodeReply(call->reply, call->asked, &reply, &received);
          call->connection->traffic.AddReceived(received);
        }
        if (!status.ok()) reply = ExchangeReply{};
        call->done(std::move(status), std::move(reply));
      });
}

Status ShardClient::CreateTable(const TableSpec& spec) {
  grpc::ClientContext context;
  connection_->Prepare(&context);
  v1::CreateTableReply reply;
  return FromGrpc(
      connection_->stub->CreateTable(&context, ToMessage(spec), &reply));
}

Status ShardClient::Assign(TableId table, Staleness staleness,
                           Span<const RowId> ids, Span<const float> rows) {
  grpc::ClientContext context;
  Connection::Prepare(&context, connection_->options.assign_timeout,
                      connection_->token);
  v1::AssignRequest request;
  request.set_table(table);
  request.set_shard(connection_->incarnation);
  request.set_staleness(static_cast<std::uint64_t>(staleness));
  request.mutable_ids()->Add(ids.begin(), ids.end());
  request.set_rows(rows.data(), rows.size() * sizeof(float));
  v1::AssignReply reply;
  return FromGrpc(connection_->stub->Assign(&context, request, &reply));
}

Result<std::vector<ShardStats>> ShardClient::Stats() {
  grpc::ClientContext context;
  connection_->Prepare(&context);
  v1::StatsReply reply;
  HET_RETURN_IF_ERROR(FromGrpc(
      connection_->stub->Stats(&context, v1::StatsRequest(), &reply)));
  ShardStats stats = FromMessage(reply);
  stats.address = connection_->options.address;
  return std::vector<ShardStats>{std::move(stats)};
}

Result<CheckpointProgress> ShardClient::Snapshot(
    const SnapshotRequest& request) {
  grpc::ClientContext context;
  Connection::Prepare(&context, connection_->options.call_timeout,
                      connection_->admin_token);
  v1::SnapshotRequest message = ToMessage(request);
  message.set_shard(connection_->incarnation);
  v1::CheckpointProgress reply;
  HET_RETURN_IF_ERROR(
      FromGrpc(connection_->stub->Snapshot(&context, message, &reply)));
  return FromMessage(reply);
}

Result<CheckpointProgress> ShardClient::Restore(const RestoreRequest& request) {
  grpc::ClientContext context;
  Connection::Prepare(&context, connection_->options.call_timeout,
                      connection_->admin_token);
  v1::RestoreRequest message = ToMessage(request);
  message.set_shard(connection_->incarnation);
  v1::CheckpointProgress reply;
  HET_RETURN_IF_ERROR(
      FromGrpc(connection_->stub->Restore(&context, message, &reply)));
  return FromMessage(reply);
}

Traffic ShardClient::traffic() const { return connection_->traffic.traffic(); }

}  // namespace het
