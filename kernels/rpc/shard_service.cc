#include "kernels/rpc/shard_service.h"

#include <cstring>
#include <utility>
#include <vector>

#include "kernels/base/version.h"
#include "kernels/rpc/codec.h"
#include "kernels/rpc/messages.h"
#include "kernels/rpc/status_convert.h"

namespace het {
namespace {

grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context,
                                 const Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

}  // namespace

ShardService::ShardService(std::shared_ptr<EmbeddingStore> store,
                           Incarnation incarnation, ShardPlace place,
                           std::string checkpoint_directory)
    : store_(std::move(store)),
      incarnation_(incarnation),
      checkpoint_directory_(std::move(checkpoint_directory)),
      place_(place) {}

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

grpc::ServerUnaryReactor* ShardService::Hello(
    grpc::CallbackServerContext* context, const v1::HelloRequest* request,
    v1::HelloReply* reply) {
  reply->set_protocol_version(kProtocolVersion);
  reply->set_package_version(kVersion);
  reply->set_incarnation(incarnation_);
  // A worker of another version gets the answer and says what is wrong.
  if (request->protocol_version() != kProtocolVersion) {
    return Finish(context, OkStatus());
  }
  return Finish(context, CheckPlace(*request));
}

grpc::ServerUnaryReactor* ShardService::CreateTable(
    grpc::CallbackServerContext* context, const v1::CreateTableRequest* request,
    v1::CreateTableReply*) {
  return Finish(context, store_->CreateTable(FromMessage(*request)));
}

grpc::ServerUnaryReactor* ShardService::Exchange(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* reply) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  auto decoded = std::make_shared<DecodedRequest>();
  TrafficBytes received;
  const Status status = DecodeRequest(*request, decoded.get(), &received);
  traffic_.AddReceived(received);
  if (!status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  store_->Exchange(decoded->request,
                   [this, decoded, reactor, reply](Status status,
                                                   ExchangeReply answer) {
                     if (status.ok()) {
                       TrafficBytes sent;
                       *reply = EncodeReply(
                           answer, AskedRowsOf(decoded->request), &sent);
                       traffic_.AddSent(sent);
                     }
                     reactor->Finish(ToGrpc(status));
                   });
  return reactor;
}

grpc::ServerUnaryReactor* ShardService::Assign(
    grpc::CallbackServerContext* context, const v1::AssignRequest* request,
    v1::AssignReply*) {
  if (request->shard() != 0 && request->shard() != incarnation_) {
    return Finish(context,
                  FailedPrecondition("Assign: the shard has been restarted, and "
                                     "the rows it held are gone; restart the "
                                     "job"));
  }
  if (request->rows().size() % sizeof(float) != 0) {
    return Finish(context, InvalidArgument("Assign: ", request->rows().size(),
                                           " bytes of rows are not a number of "
                                           "float32 values"));
  }
  const std::vector<RowId> ids(request->ids().begin(), request->ids().end());
  std::vector<float> rows(request->rows().size() / sizeof(float));
  if (!rows.empty()) {
    std::memcpy(rows.data(), request->rows().data(), request->rows().size());
  }
  return Finish(context, store_->Assign(
                             request->table(),
                             static_cast<Staleness>(request->staleness()), ids,
                             rows));
}

Status ShardService::CheckMeant(Incarnation shard,
                                const CheckpointPlace& place) {
  if (shard != incarnation_) {
    return FailedPrecondition("the shard has been restarted, and the rows it "
                              "held are gone; restart the job");
  }
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

grpc::ServerUnaryReactor* ShardService::Snapshot(
    grpc::CallbackServerContext* context, const v1::SnapshotRequest* request,
    v1::CheckpointProgress* reply) {
  SnapshotRequest own = FromMessage(*request);
  const Status meant = CheckMeant(request->shard(), own.place);
  if (!meant.ok()) return Finish(context, meant);
  own.place.directory = checkpoint_directory_;
  const auto progress = store_->Snapshot(own);
  if (progress.ok()) *reply = ToMessage(*progress);
  return Finish(context, progress.status());
}

grpc::ServerUnaryReactor* ShardService::Restore(
    grpc::CallbackServerContext* context, const v1::RestoreRequest* request,
    v1::CheckpointProgress* reply) {
  RestoreRequest own = FromMessage(*request);
  const Status meant = CheckMeant(request->shard(), own.place);
  if (!meant.ok()) return Finish(context, meant);
  own.place.directory = checkpoint_directory_;
  const auto progress = store_->Restore(own);
  if (progress.ok()) *reply = ToMessage(*progress);
  return Finish(context, progress.status());
}

grpc::ServerUnaryReactor* ShardService::Stats(
    grpc::CallbackServerContext* context, const v1::StatsRequest*,
    v1::StatsReply* reply) {
  Result<std::vector<ShardStats>> stats = store_->Stats();
  if (!stats.ok()) return Finish(context, stats.status());
  stats->front().traffic = traffic_.traffic();
  *reply = ToMessage(stats->front());
  return Finish(context, OkStatus());
}

}  // namespace het
