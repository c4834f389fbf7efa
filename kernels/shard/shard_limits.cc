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
                          const std::vector<Span<const RowId>>& ids) const {
  std::size_t bytes = 0;
  {
    MutexLock lock(&mutex_);
    for (const auto& [id, table] : tables_) bytes += table->BytesWithReserved();
  }
  if (bytes <= max_memory_bytes_) return OkStatus();
  // Most of what was reserved is for rows that are there.
  std::size_t created = 0;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const std::size_t fresh = tables[t]->CountNew(ids[t]);
    created += fresh;
    bytes -= (ids[t].size() - fresh) * tables[t]->BytesOfRow();
  }
  if (created == 0 || bytes <= max_memory_bytes_) return OkStatus();
  return ResourceExhausted(
      "with ", created, " new rows the tables of this shard would take ", bytes,
      " bytes, its limit is ", max_memory_bytes_, ": nothing of this was applied; ",
      "raise its --max-memory, use more shards, or drop a table (reads and updates ",
      "of the rows that are there go on)");
}

}  // namespace het
