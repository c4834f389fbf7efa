// What a log of pushes consists of: its records, and who is given them when a shard
// comes back. docs/checkpoints.md has the format.
//
// Plain values and functions.

#ifndef HET_TF_KERNELS_STORAGE_LOG_RECORDS_H_
#define HET_TF_KERNELS_STORAGE_LOG_RECORDS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"
#include "kernels/storage/block_file.h"
#include "kernels/store/exchange.h"
#include "kernels/store/table_spec.h"

namespace het {

// Kinds of blocks.
enum LogRecord : std::uint32_t {
  kLogTable = 1,  // as in a checkpoint
  kLogHead = 16,
  kLogExchange = 17,
  kLogAssign = 18,
  kLogBase = 19,  // of a file of its own
  kLogDrop = 20,
  kLogRefusal = 21,
};

// What a segment begins with.
struct LogHead {
  Incarnation shard = 0;
  // Of every worker the number of the exchange that comes next.
  std::vector<std::pair<Incarnation, std::uint64_t>> workers;
  std::vector<TableSpec> tables;
};

// Who brings a shard back. The spans live until the call returns.
class LogReplayer {
 public:
  virtual ~LogReplayer() = default;
  virtual Status Head(const LogHead& head) = 0;
  virtual Status Table(const TableSpec& spec) = 0;
  // An exchange that took its number; its tables have pushes alone.
  virtual Status Exchange(const ExchangeRequest& request) = 0;
  virtual Status Assign(TableId table, Staleness staleness,
                        Span<const RowId> ids, Span<const float> rows) = 0;
  virtual Status Drop(TableId table) = 0;
  // An exchange that was refused, and with what; maybe again.
  virtual Status Refusal(const ExchangeHeader& header, const Status& status) = 0;
};

std::string EncodeHead(const LogHead& head);
std::string EncodeLoggedTable(const TableSpec& spec);

// Gives one record to the replayer; DATA_LOSS when it makes no sense.
Status ReplayRecord(const BlockFileReader::Block& block, LogReplayer* replayer);

}  // namespace het

#endif  // HET_TF_KERNELS_STORAGE_LOG_RECORDS_H_
