// What a shard does not take, because it would be too much.

#include "kernels/shard/shard.h"

namespace het {

Status Shard::CheckReplySize(
    const ExchangeRequest& request,
    const std::vector<std::shared_ptr<Table>>& tables) const {
  std::size_t bytes = 0;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const std::size_t row = tables[t]->spec().dimension * sizeof(float) +
                            sizeof(Clock) + sizeof(float);
    bytes += row * (request.tables[t].fetch_ids.size() +
                    request.tables[t].validate_ids.size());
  }
  if (bytes <= max_reply_bytes_) return OkStatus();
  // A refused request, which takes its number: it was not applied.
  return InvalidArgument("the reply to this exchange may have ", bytes,
                         " bytes, the limit of this shard is ",
                         max_reply_bytes_,
                         ": use smaller batches, or raise the shard's "
                         "--max-message-bytes");
}

Status Shard::CheckMemory(const std::vector<std::shared_ptr<Table>>& tables,
                          const std::vector<Span<const RowId>>& ids,
                          NewRows* room) {
  // Most exchanges would fit if all of their rows were new.
  std::size_t bytes = 0;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    bytes += ids[t].size() * tables[t]->BytesOfRow();
  }
  MutexLock lock(&memory_mutex_);
  std::size_t taken = granted_bytes_;
  for (const auto& table : AllTables()) taken += table->BytesOfRows();
  std::size_t created = 0;
  if (taken + bytes > max_memory_bytes_) {
    bytes = 0;
    for (std::size_t t = 0; t < tables.size(); ++t) {
      const std::size_t fresh = tables[t]->CountNew(ids[t]);
      created += fresh;
      bytes += fresh * tables[t]->BytesOfRow();
    }
    if (created > 0 && taken + bytes > max_memory_bytes_) {
      return ResourceExhausted(
          "with ", created, " new rows the tables of this shard would take ",
          taken + bytes, " bytes, its limit is ", max_memory_bytes_,
          ": nothing of this was applied here; raise its --max-memory, use more ",
          "shards, or drop a table. Whoever pushes no new rows goes on; this worker ",
          "has lost an update, and its caches of these tables stop");
    }
  }
  granted_bytes_ += bytes;
  room->Hold(this, bytes);
  return OkStatus();
}

void Shard::NewRows::Release() {
  if (shard_ == nullptr) return;
  MutexLock lock(&shard_->memory_mutex_);
  shard_->granted_bytes_ -= bytes_;
  shard_ = nullptr;
}

}  // namespace het
