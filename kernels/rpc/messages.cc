#include "kernels/rpc/messages.h"

#include <utility>

#include "kernels/base/version.h"

namespace het {
namespace {

void Fill(const ComponentSpec& spec, v1::Component* message) {
  message->set_name(spec.name);
  for (const auto& [name, value] : spec.parameters) {
    (*message->mutable_parameters())[name] = value;
  }
}

ComponentSpec FromMessage(const v1::Component& message) {
  ComponentSpec spec;
  spec.name = message.name();
  for (const auto& [name, value] : message.parameters()) {
    spec.parameters[name] = value;
  }
  return spec;
}

void Fill(const TrafficBytes& bytes, v1::TrafficBytes* message) {
  message->set_ids(bytes.ids);
  message->set_clocks(bytes.clocks);
  message->set_rows(bytes.rows);
  message->set_gradients(bytes.gradients);
  message->set_framing(bytes.framing);
}

TrafficBytes FromMessage(const v1::TrafficBytes& message) {
  return {message.ids(), message.clocks(), message.rows(), message.gradients(),
          message.framing()};
}

void Fill(const CheckpointPlace& place, v1::CheckpointPlace* message) {
  message->set_mark(place.mark);
  message->set_shard_index(static_cast<std::uint32_t>(place.shard));
  message->set_shard_count(static_cast<std::uint32_t>(place.shards));
}

CheckpointPlace FromMessage(const v1::CheckpointPlace& message) {
  return {{}, message.mark(), message.shard_index(), message.shard_count()};
}

}  // namespace

v1::CreateTableRequest ToMessage(const TableSpec& spec) {
  v1::CreateTableRequest message;
  message.set_name(spec.name);
  message.set_dimension(spec.dimension);
  Fill(spec.initializer, message.mutable_initializer());
  message.set_seed(spec.seed);
  Fill(spec.optimizer, message.mutable_optimizer());
  message.set_synchronous(spec.synchronous);
  return message;
}

TableSpec FromMessage(const v1::CreateTableRequest& message) {
  TableSpec spec;
  spec.name = message.name();
  spec.dimension = message.dimension();
  spec.initializer = FromMessage(message.initializer());
  spec.seed = message.seed();
  spec.optimizer = FromMessage(message.optimizer());
  spec.synchronous = message.synchronous();
  return spec;
}

v1::SnapshotRequest ToMessage(const SnapshotRequest& request) {
  v1::SnapshotRequest message;
  Fill(request.place, message.mutable_place());
  message.set_name(request.name);
  message.set_base(request.base);
  message.set_call(request.call);
  message.set_begin(request.begin);
  return message;
}

SnapshotRequest FromMessage(const v1::SnapshotRequest& message) {
  return {FromMessage(message.place()), message.name(), message.base(),
          message.call(), message.begin()};
}

v1::RestoreRequest ToMessage(const RestoreRequest& request) {
  v1::RestoreRequest message;
  Fill(request.place, message.mutable_place());
  for (const RestoreRequest::Part& part : request.chain) {
    v1::CheckpointPart* added = message.add_chain();
    added->set_name(part.name);
    added->set_shard_count(static_cast<std::uint32_t>(part.shards));
  }
  message.set_call(request.call);
  message.set_commit(request.commit);
  return message;
}

RestoreRequest FromMessage(const v1::RestoreRequest& message) {
  RestoreRequest request;
  request.place = FromMessage(message.place());
  for (const v1::CheckpointPart& part : message.chain()) {
    request.chain.push_back({part.name(), part.shard_count()});
  }
  request.call = message.call();
  request.commit = message.commit();
  return request;
}

v1::CheckpointProgress ToMessage(const CheckpointProgress& progress) {
  v1::CheckpointProgress message;
  message.set_done(progress.done);
  message.set_rows(progress.rows);
  message.set_bytes(progress.bytes);
  return message;
}

CheckpointProgress FromMessage(const v1::CheckpointProgress& message) {
  return {message.done(), message.rows(), message.bytes()};
}

v1::StatsReply ToMessage(const ShardStats& stats) {
  v1::StatsReply message;
  message.set_incarnation(stats.incarnation);
  message.set_uptime_seconds(stats.uptime_seconds);
  message.set_workers(stats.workers);
  message.set_exchanges(stats.exchanges);
  message.set_repeated_exchanges(stats.repeated_exchanges);
  message.set_messages(stats.traffic.exchanges);
  Fill(stats.traffic.sent, message.mutable_sent());
  Fill(stats.traffic.received, message.mutable_received());
  for (const TableStats& table : stats.tables) {
    v1::TableStats* added = message.add_tables();
    added->set_name(table.name);
    added->set_dimension(table.dimension);
    added->set_optimizer(table.optimizer);
    added->set_rows(table.rows);
    added->set_memory_bytes(table.memory_bytes);
  }
  message.set_package_version(kVersion);
  for (const auto& [reason, count] : stats.refused) {
    v1::RefusedCount* added = message.add_refused();
    added->set_reason(reason);
    added->set_count(count);
  }
  message.set_connections(stats.connections);
  message.set_memory_limit_bytes(stats.memory_limit_bytes);
  message.set_shard_index(stats.index);
  message.set_shard_count(stats.count);
  return message;
}

ShardStats FromMessage(const v1::StatsReply& message) {
  ShardStats stats;
  stats.incarnation = message.incarnation();
  stats.uptime_seconds = message.uptime_seconds();
  stats.workers = message.workers();
  stats.exchanges = message.exchanges();
  stats.repeated_exchanges = message.repeated_exchanges();
  stats.traffic.exchanges = message.messages();
  stats.traffic.sent = FromMessage(message.sent());
  stats.traffic.received = FromMessage(message.received());
  for (const v1::TableStats& table : message.tables()) {
    stats.tables.push_back({table.name(), table.dimension(), table.optimizer(),
                            table.rows(), table.memory_bytes(), {}, 0});
  }
  for (const v1::RefusedCount& refused : message.refused()) {
    stats.refused[refused.reason()] = refused.count();
  }
  stats.connections = message.connections();
  stats.memory_limit_bytes = message.memory_limit_bytes();
  stats.index = message.shard_index();
  stats.count = message.shard_count();
  return stats;
}

}  // namespace het
