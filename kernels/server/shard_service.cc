#include "kernels/server/shard_service.h"

#include <google/protobuf/message.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>
#include <cstring>
#include <sstream>
#include <utility>
#include <vector>

#include "kernels/base/version.h"
#include "kernels/rpc/codec.h"
#include "kernels/rpc/credentials.h"
#include "kernels/rpc/messages.h"
#include "kernels/rpc/status_convert.h"

namespace het {

struct ShardService::Method {
  const char* name = nullptr;
  Role role = Role::kWorker;
  Metrics::Method meter;
  // Takes the call's message; answers the call, now or later.
  std::function<void(Call*)> answer;
};

// One call, from its admission to its answer; deletes itself.
class ShardService::Call final : public grpc::ServerGenericBidiReactor {
 public:
  Call(Method* method, grpc::GenericCallbackServerContext* context)
      : method_(method), context_(context) {
    StartRead(&message_);
  }

  const Method& method() const { return *method_; }
  grpc::ByteBuffer& message() { return message_; }
  std::string peer() const { return context_->peer(); }

  // Exactly one of the two, once.
  void Finish(const Status& status) {
    NoteAnswered(status.code());
    // What is refused by the shard itself has been decided there (shard_client.cc).
    context_->AddTrailingMetadata(kAnsweredKey, "1");
    grpc::ServerGenericBidiReactor::Finish(ToGrpc(status));
  }
  void Finish(grpc::ByteBuffer reply) {
    reply_ = std::move(reply);
    NoteAnswered(StatusCode::kOk);
    StartWriteAndFinish(&reply_, grpc::WriteOptions(), grpc::Status::OK);
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      method_->answer(this);
    } else {
      // It is gone, or its message is larger than gRPC was told to take.
      NoteAnswered(StatusCode::kCancelled);
      grpc::ServerGenericBidiReactor::Finish(
          grpc::Status(grpc::StatusCode::CANCELLED, "the call has no message"));
    }
  }
  void OnDone() override { delete this; }

 private:
  void NoteAnswered(StatusCode code) {
    method_->meter.Answered(code, std::chrono::steady_clock::now() - began_);
  }

  Method* const method_;
  grpc::GenericCallbackServerContext* const context_;
  const std::chrono::steady_clock::time_point began_ =
      std::chrono::steady_clock::now();
  grpc::ByteBuffer message_;
  grpc::ByteBuffer reply_;
};

namespace {

constexpr char kHealthMethod[] = "/grpc.health.v1.Health/Check";

// Everybody may ask whether the shard serves, by any message, which is not read.
class HealthCheck final : public grpc::ServerGenericBidiReactor {
 public:
  HealthCheck() {
    const grpc::Slice serving("\x08\x01", 2);  // status: SERVING
    reply_ = grpc::ByteBuffer(&serving, 1);
    StartWriteAndFinish(&reply_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer reply_;
};

// A call that ends before its message is read.
class RefusedCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedCall(const Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

template <typename Request, typename Reply>
void ShardService::AddMethod(const char* name, Role role,
                             Status (ShardService::*answer)(const Request&,
                                                            Reply*)) {
  Method& method = methods_[std::string("/het.v1.EmbeddingShard/") + name];
  method.name = name;
  method.role = role;
  method.meter = metrics_->AddMethod(name);
  method.answer = [this, answer](Call* call) {
    Request request;
    Status status = FromGrpc(grpc::SerializationTraits<Request>::Deserialize(
        &call->message(), &request));
    Reply reply;
    if (status.ok()) status = (this->*answer)(request, &reply);
    if (call->method().role == Role::kAdmin) {
      Audit(*call, request, status);
    }
    grpc::ByteBuffer bytes;
    bool own_buffer = false;
    if (status.ok()) {
      status = FromGrpc(grpc::SerializationTraits<Reply>::Serialize(
          reply, &bytes, &own_buffer));
    }
    if (status.ok()) {
      call->Finish(std::move(bytes));
    } else {
      call->Finish(status);
    }
  };
}

ShardService::ShardService(std::shared_ptr<EmbeddingStore> store,
                           Incarnation incarnation, ShardServiceOptions options,
                           Tokens tokens, bool encrypted)
    : store_(std::move(store)),
      incarnation_(incarnation),
      options_(std::move(options)),
      doorkeeper_(std::move(tokens), encrypted),
      metrics_(std::make_shared<Metrics>()),
      place_(options_.place) {
  metrics_->SetSource([this] { return Stats(); });
  AddMethod("Hello", Role::kWorker, &ShardService::Hello);
  AddMethod("CreateTable", Role::kWorker, &ShardService::CreateTable);
  AddMethod("Assign", Role::kWorker, &ShardService::Assign);
  AddMethod("Stats", Role::kWorker, &ShardService::AnswerStats);
  AddMethod("Snapshot", Role::kAdmin, &ShardService::Snapshot);
  AddMethod("Restore", Role::kAdmin, &ShardService::Restore);
  AddMethod("DropTable", Role::kAdmin, &ShardService::DropTable);
  AddMethod("Stop", Role::kAdmin, &ShardService::Stop);
  Method& exchange = methods_[kExchangeMethod];
  exchange.name = "Exchange";
  exchange.meter = metrics_->AddMethod("Exchange");
  exchange.answer = [this](Call* call) { Exchange(call); };
}

ShardService::~ShardService() = default;

grpc::ServerGenericBidiReactor* ShardService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const auto method = methods_.find(context->method());
  // Who may not call anything is not told what there is to call.
  const Role needed =
      method == methods_.end() ? Role::kWorker : method->second.role;
  const std::string peer = context->peer();
  if (context->method() == kHealthMethod) {
    if (connections_ != nullptr) connections_->NoteCall(peer, false);
    return new HealthCheck;
  }
  const Status admitted =
      doorkeeper_.Admit(context->client_metadata(), peer, needed);
  if (connections_ != nullptr) connections_->NoteCall(peer, admitted.ok());
  if (!admitted.ok()) return new RefusedCall(admitted);
  if (method == methods_.end()) {
    return new RefusedCall(Unimplemented("het_tf ", kVersion, " has no method ",
                                         context->method()));
  }
  return new Call(&method->second, context);
}

Status ShardService::CheckPlace(const v1::HelloRequest& request) {
  if (request.shard_count() == 0) return OkStatus();
  if (request.shard_index() >= request.shard_count()) {
    return InvalidArgument("a worker calls this shard number ",
                           request.shard_index(), " of ",
                           request.shard_count(),
                           "; numbers run from 0 to the count minus 1");
  }
  MutexLock lock(&mutex_);
  if (place_.count == 0) {
    place_ = {request.shard_index(), request.shard_count()};
  } else if (place_.index != request.shard_index() ||
             place_.count != request.shard_count()) {
    return FailedPrecondition(
        "this shard is number ", place_.index, " of ", place_.count,
        ", a worker calls it number ", request.shard_index(), " of ",
        request.shard_count(),
        ": give every worker the same list of shards, in the same order");
  }
  return OkStatus();
}

Status ShardService::Hello(const v1::HelloRequest& request,
                           v1::HelloReply* reply) {
  reply->set_package_version(kVersion);
  reply->set_incarnation(incarnation_);
  reply->set_oldest_protocol_version(kOldestProtocolVersion);
  const std::uint32_t newest =
      std::min<std::uint32_t>(request.protocol_version(), kProtocolVersion);
  const std::uint32_t oldest = request.oldest_protocol_version() != 0
                                   ? request.oldest_protocol_version()
                                   : request.protocol_version();
  // A worker with which there is no common version gets the answer and says what
  // is wrong.
  const bool common = newest >= oldest && newest >= kOldestProtocolVersion;
  reply->set_protocol_version(common ? newest : kProtocolVersion);
  return common ? CheckPlace(request) : OkStatus();
}

Status ShardService::CreateTable(const v1::CreateTableRequest& request,
                                 v1::CreateTableReply*) {
  return store_->CreateTable(FromMessage(request));
}

void ShardService::Exchange(Call* call) {
  auto decoded = std::make_shared<DecodedRequest>();
  TrafficBytes received;
  const Status status = DecodeRequest(call->message(), decoded.get(), &received,
                                      options_.max_ids);
  traffic_.AddReceived(received);
  if (!status.ok()) {
    call->Finish(status);
    return;
  }
  store_->Exchange(
      decoded->request,
      [this, decoded, call](Status status, ExchangeReply answer) {
        if (!status.ok()) {
          call->Finish(status);
          return;
        }
        TrafficBytes sent;
        grpc::ByteBuffer reply =
            EncodeReply(answer, AskedRowsOf(decoded->request), &sent);
        traffic_.AddSent(sent);
        call->Finish(std::move(reply));
      });
}

Status ShardService::Assign(const v1::AssignRequest& request, v1::AssignReply*) {
  if (request.shard() != 0) HET_RETURN_IF_ERROR(CheckMeant(request.shard()));
  if (request.rows().size() % sizeof(float) != 0) {
    return InvalidArgument("Assign: ", request.rows().size(),
                           " bytes of rows are not a number of float32 values");
  }
  if (static_cast<std::size_t>(request.ids_size()) > options_.max_ids) {
    return InvalidArgument("Assign: ", request.ids_size(), " ids are more than ",
                           options_.max_ids, ": assign fewer at a time, or raise "
                           "the shard's --max-ids");
  }
  const std::vector<RowId> ids(request.ids().begin(), request.ids().end());
  std::vector<float> rows(request.rows().size() / sizeof(float));
  if (!rows.empty()) {
    std::memcpy(rows.data(), request.rows().data(), request.rows().size());
  }
  return store_->Assign(request.table(),
                        static_cast<Staleness>(request.staleness()), ids, rows);
}

Status ShardService::CheckMeant(Incarnation shard) const {
  if (shard == incarnation_) return OkStatus();
  return FailedPrecondition("the shard has been restarted, and the rows it held "
                            "are gone; restart the job");
}

Status ShardService::CheckMeant(Incarnation shard,
                                const CheckpointPlace& place) {
  HET_RETURN_IF_ERROR(CheckMeant(shard));
  MutexLock lock(&mutex_);
  if (place_.count == 0) {
    // One that has been restarted: its place is what it was for the worker.
    place_ = {static_cast<std::uint32_t>(place.shard),
              static_cast<std::uint32_t>(place.shards)};
  }
  if (place.shard == place_.index && place.shards == place_.count) {
    return OkStatus();
  }
  return FailedPrecondition("this shard is number ", place_.index, " of ",
                            place_.count, ", the call means number ",
                            place.shard, " of ", place.shards);
}

template <typename Own, typename Request>
Status ShardService::AskCheckpoint(
    Result<CheckpointProgress> (EmbeddingStore::*ask)(const Own&),
    const Request& request, v1::CheckpointProgress* reply) {
  Own own = FromMessage(request);
  HET_RETURN_IF_ERROR(CheckMeant(request.shard(), own.place));
  own.place.directory = options_.checkpoint_directory;
  const auto progress = (store_.get()->*ask)(own);
  if (progress.ok()) *reply = ToMessage(*progress);
  return progress.status();
}

Status ShardService::Snapshot(const v1::SnapshotRequest& request,
                              v1::CheckpointProgress* reply) {
  return AskCheckpoint(&EmbeddingStore::Snapshot, request, reply);
}

Status ShardService::Restore(const v1::RestoreRequest& request,
                             v1::CheckpointProgress* reply) {
  return AskCheckpoint(&EmbeddingStore::Restore, request, reply);
}

Status ShardService::DropTable(const v1::DropTableRequest& request,
                               v1::DropTableReply*) {
  if (request.shard() != 0) HET_RETURN_IF_ERROR(CheckMeant(request.shard()));
  if (!options_.drop_table) {
    return Unimplemented("DropTable: what is served here cannot drop tables");
  }
  return options_.drop_table(request.name());
}

Status ShardService::Stop(const v1::StopRequest& request, v1::StopReply*) {
  if (request.shard() != 0) HET_RETURN_IF_ERROR(CheckMeant(request.shard()));
  if (!options_.stop) {
    return Unimplemented("Stop: this shard ends with the process it is part of");
  }
  options_.stop();
  return OkStatus();
}

void ShardService::Audit(const Call& call,
                         const google::protobuf::Message& request,
                         const Status& outcome) {
  const std::string source = SourceOf(call.peer());
  const auto* snapshot = dynamic_cast<const v1::SnapshotRequest*>(&request);
  const auto* restore = dynamic_cast<const v1::RestoreRequest*>(&request);
  if (snapshot != nullptr || restore != nullptr) {
    // The same call again asks how far it is.
    std::ostringstream progress;
    progress << (snapshot != nullptr ? snapshot->call() : restore->call()) << ' '
             << (restore != nullptr && restore->commit()) << ' ' << source << ' '
             << outcome.ToString();
    MutexLock lock(&mutex_);
    if (progress.str() == audited_) return;
    audited_ = progress.str();
  }
  Log(LogLevel::kInfo, "audit",
      {{"call", call.method().name},
       {"source", source},
       {"request", request.ShortDebugString()},
       {"outcome", outcome.ToString()}});
}

Result<ShardStats> ShardService::Stats() {
  Result<std::vector<ShardStats>> all = store_->Stats();
  HET_RETURN_IF_ERROR(all.status());
  ShardStats& stats = all->front();
  stats.traffic = traffic_.traffic();
  stats.refused = doorkeeper_.refused();
  if (connections_ != nullptr) stats.connections = connections_->open();
  MutexLock lock(&mutex_);
  stats.index = place_.index;
  stats.count = place_.count;
  return std::move(stats);
}

Status ShardService::AnswerStats(const v1::StatsRequest&, v1::StatsReply* reply) {
  const Result<ShardStats> stats = Stats();
  if (stats.ok()) *reply = ToMessage(*stats);
  return stats.status();
}

}  // namespace het
