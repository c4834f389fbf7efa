// PushLog: what has changed a shard's rows since its last checkpoint, in the order
// in which it happened, so that a shard that was killed comes back as it was.
//
// A directory with
//   segment-K.het   records from cut K on; the one with the highest K grows
//   base-K.het      names the files whose rows are the state before segment K
//   rows-K-I.het    those files, linked (or copied) from the checkpoint's directory
//   lock            held while a shard uses the directory
// A shard begins a segment at every checkpoint's cut. Once the checkpoint's file is
// complete, base-K makes the segments before K superfluous. Recovery is the last
// base, then every segment from it on.
//
// A record is in the file before it is applied and before anybody hears of it. What
// that survives is the durability: kPageCache the end of the process, kSynced that
// of the machine; then answers wait for a sync, which many of them share.
//
// Ownership: owns its files; removes the ones it needs no more. Thread-safety:
// Append*, WhenDurable and SetBase may be called from any thread, Open and Replay
// before all others; Begin while nobody appends. Lock order: mutex_ is a leaf; it
// is held while a record is written into the page cache, not while anything is
// synced.

#ifndef HET_TF_KERNELS_STORAGE_PUSH_LOG_H_
#define HET_TF_KERNELS_STORAGE_PUSH_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/base/mutex.h"
#include "kernels/base/span.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"
#include "kernels/storage/block_file.h"
#include "kernels/storage/log_records.h"
#include "kernels/store/exchange.h"
#include "kernels/store/table_spec.h"

namespace het {

enum class Durability { kPageCache, kSynced };

// Files of rows, in order, of which those are meant that the Router gives to
// `shard` of `shards`.
struct LogBase {
  std::vector<std::string> files;  // paths
  std::size_t shard = 0;
  std::size_t shards = 1;
};

class PushLog {
 public:
  // Creates the directory, or opens what a shard has left there.
  // FAILED_PRECONDITION: another shard uses it.
  static Result<std::unique_ptr<PushLog>> Open(const std::string& directory,
                                               Durability durability);
  // Syncs for those who wait, and answers them.
  ~PushLog();
  PushLog(const PushLog&) = delete;
  PushLog& operator=(const PushLog&) = delete;

  Durability durability() const { return durability_; }
  bool empty() const { return segments_.empty(); }
  // What the state before the first segment is; empty: no rows at all.
  const LogBase& base() const { return base_; }
  // Gives all records from the base on. A write that was not completed at the end
  // is cut off; DATA_LOSS for damage anywhere else.
  Status Replay(LogReplayer* replayer);

  // Begins the next segment and returns its number. The last one is as durable
  // as was asked for by then.
  Result<std::uint64_t> Begin(const LogHead& head) HET_EXCLUDES(mutex_);
  // The files have the rows as they were when segment `number` began: takes hold
  // of them and drops what is older.
  Status SetBase(std::uint64_t number, const LogBase& base)
      HET_EXCLUDES(mutex_);

  // The exchange's number and its pushes, those of `tables` alone: of one that
  // was refused, none. After an error nothing can be appended any more.
  Status AppendExchange(const ExchangeHeader& header,
                        Span<const TableExchange> tables) HET_EXCLUDES(mutex_);
  Status AppendTable(const TableSpec& spec) HET_EXCLUDES(mutex_);
  Status AppendAssign(TableId table, Staleness staleness, Span<const RowId> ids,
                      Span<const float> rows) HET_EXCLUDES(mutex_);
  Status AppendDrop(TableId table) HET_EXCLUDES(mutex_);
  Status AppendRefusal(const ExchangeHeader& header, const Status& status)
      HET_EXCLUDES(mutex_);

  // Calls `done` when everything that has been appended is as durable as was
  // asked for: at once, or after a sync on the log's own thread.
  void WhenDurable(std::function<void(Status)> done) HET_EXCLUDES(mutex_);

 private:
  PushLog(std::string directory, Durability durability, int lock);

  std::string PathOf(const char* what, std::uint64_t number) const;
  Status FindFiles();
  Status ReadBase(std::uint64_t number);
  Result<std::shared_ptr<BlockFileWriter>> WriteHead(std::uint64_t number,
                                                     const LogHead& head);
  Status ReplaySegment(std::uint64_t number, bool last, LogReplayer* replayer);
  Status Append(std::uint32_t kind, Span<const Span<const char>> pieces)
      HET_EXCLUDES(mutex_);
  void SyncLoop() HET_EXCLUDES(mutex_);

  const std::string directory_;
  const Durability durability_;
  const int lock_;
  LogBase base_;
  std::vector<std::uint64_t> segments_;  // that Open has found, from the base on
  std::uint64_t last_number_ = 0;
  Mutex mutex_;
  CondVar changed_;
  // Shared with a sync that is under way.
  std::shared_ptr<BlockFileWriter> segment_ HET_GUARDED_BY(mutex_);
  Status failure_ HET_GUARDED_BY(mutex_);
  std::uint64_t appended_ HET_GUARDED_BY(mutex_) = 0;
  std::uint64_t durable_ HET_GUARDED_BY(mutex_) = 0;
  std::deque<std::pair<std::uint64_t, std::function<void(Status)>>> waiting_
      HET_GUARDED_BY(mutex_);
  bool closing_ HET_GUARDED_BY(mutex_) = false;
  std::thread syncer_;  // of kSynced
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORAGE_PUSH_LOG_H_
