#include "kernels/storage/push_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "kernels/storage/log_files.h"
#include "kernels/storage/record_codec.h"
#include "kernels/store/router.h"

namespace het {
namespace {

namespace fs = std::filesystem;

// The files of base `number` in the log's directory.
std::string RowsName(std::uint64_t number, std::size_t i) {
  return "rows-" + std::to_string(number) + "-" + std::to_string(i) + ".het";
}

}  // namespace

Result<std::unique_ptr<PushLog>> PushLog::Open(const std::string& directory,
                                               Durability durability) {
  std::error_code error;
  fs::create_directories(directory, error);
  const std::string path = directory + "/lock";
  const int lock = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) {
    return FailedPrecondition("cannot keep a log in ", directory, ": ",
                              std::strerror(errno));
  }
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    close(lock);
    return FailedPrecondition("the log in ", directory,
                              " is in use by another shard: give each its own "
                              "directory");
  }
  std::unique_ptr<PushLog> log(new PushLog(directory, durability, lock));
  HET_RETURN_IF_ERROR(log->FindFiles());
  if (durability == Durability::kSynced) {
    log->syncer_ = std::thread([log = log.get()] { log->SyncLoop(); });
  }
  return log;
}

PushLog::PushLog(std::string directory, Durability durability, int lock)
    : directory_(std::move(directory)), durability_(durability), lock_(lock) {}

PushLog::~PushLog() {
  {
    MutexLock lock(&mutex_);
    closing_ = true;
    changed_.NotifyAll();
  }
  if (syncer_.joinable()) syncer_.join();
  close(lock_);
}

std::string PushLog::PathOf(const char* what, std::uint64_t number) const {
  return directory_ + "/" + what + std::to_string(number) + ".het";
}

Status PushLog::FindFiles() {
  std::vector<std::uint64_t> segments;
  std::uint64_t newest_base = 0;
  std::error_code error;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(directory_, error)) {
    const std::string name = entry.path().filename().string();
    if (const auto number = NumberIn(name, "segment-")) {
      segments.push_back(*number);
    } else if (const auto base = NumberIn(name, "base-")) {
      newest_base = std::max(newest_base, *base);
    }
  }
  if (error) {
    return FailedPrecondition("cannot read ", directory_, ": ",
                              error.message());
  }
  std::sort(segments.begin(), segments.end());
  if (newest_base > 0) HET_RETURN_IF_ERROR(ReadBase(newest_base));
  for (const std::uint64_t number : segments) {
    if (number >= newest_base) segments_.push_back(number);
    last_number_ = std::max(last_number_, number);
  }
  const auto missing = [this](std::uint64_t number) {
    return DataLoss(PathOf("segment-", number),
                    " is missing: the log cannot be brought back; restore a "
                    "checkpoint, with an empty log directory");
  };
  const std::uint64_t first = std::max<std::uint64_t>(newest_base, 1);
  if (newest_base > 0 && segments_.empty()) return missing(first);
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i] != first + i) return missing(first + i);
  }
  return OkStatus();
}

Status PushLog::ReadBase(std::uint64_t number) {
  auto reader = BlockFileReader::Open(PathOf("base-", number),
                                      FileKind::kLogBase);
  HET_RETURN_IF_ERROR(reader.status());
  BlockFileReader::Block block;
  const Result<bool> more = (*reader)->Next(&block);
  HET_RETURN_IF_ERROR(more.status());
  Decoder decoder(*more ? block.payload : Span<const char>());
  base_.shard = decoder.Take<std::uint64_t>();
  base_.shards = decoder.Take<std::uint64_t>();
  const auto files = decoder.Take<std::uint64_t>();
  bool named = true;  // as SetBase does
  for (std::uint64_t i = 0; i < files && decoder.left() > 0; ++i) {
    const std::string name = decoder.TakeString();
    named = named && name == RowsName(number, i);
    base_.files.push_back(directory_ + "/" + name);
  }
  if (!decoder.fits() || !named || base_.files.size() != files ||
      base_.shard >= base_.shards || base_.shards > kPartitions) {
    return (*reader)->Damaged("it does not name the files of a state");
  }
  return OkStatus();
}

Status PushLog::Replay(LogReplayer* replayer) {
  for (const std::uint64_t number : segments_) {
    HET_RETURN_IF_ERROR(
        ReplaySegment(number, number == last_number_, replayer));
  }
  return OkStatus();
}

Status PushLog::ReplaySegment(std::uint64_t number, bool last,
                              LogReplayer* replayer) {
  const std::string path = PathOf("segment-", number);
  auto opened = BlockFileReader::Open(path, FileKind::kLog);
  if (!opened.ok()) {
    // The process ended before it had written the header.
    std::error_code error;
    constexpr std::uintmax_t kHeaderBytes = 24;
    if (last && fs::file_size(path, error) <= kHeaderBytes && !error &&
        fs::remove(path, error)) {
      --last_number_;
      return OkStatus();
    }
    return opened.status();
  }
  BlockFileReader& reader = **opened;
  while (true) {
    BlockFileReader::Block block;
    const Result<bool> more = reader.Next(&block);
    if (!more.ok()) {
      if (!last || more.status().code() != StatusCode::kDataLoss) {
        return more.status();
      }
      const Result<bool> torn =
          reader.EndsTorn(durability_ == Durability::kSynced);
      HET_RETURN_IF_ERROR(torn.status());
      if (!*torn) return more.status();
      if (truncate(path.c_str(), static_cast<off_t>(reader.block_begin())) !=
          0) {
        return Internal("cannot shorten ", path, ": ", std::strerror(errno));
      }
      break;
    }
    if (!*more) break;
    const Status replayed = ReplayRecord(block, replayer);
    if (!replayed.ok()) {
      return replayed.WithContext(path + " at byte " +
                                  std::to_string(reader.block_begin()));
    }
  }
  // A process that was killed may have left it in the page cache alone: what is
  // acknowledged from now on stands on it.
  return durability_ == Durability::kSynced ? SyncFile(path) : OkStatus();
}

Result<std::uint64_t> PushLog::Begin(const LogHead& head) {
  std::shared_ptr<BlockFileWriter> before;
  {
    MutexLock lock(&mutex_);
    HET_RETURN_IF_ERROR(failure_);
    before = segment_;
  }
  // First: somebody may wait for it, and a segment that has another behind it is
  // complete.
  if (before != nullptr && durability_ == Durability::kSynced) {
    HET_RETURN_IF_ERROR(before->Sync());
  }
  const std::uint64_t number = last_number_ + 1;
  Result<std::shared_ptr<BlockFileWriter>> segment = WriteHead(number, head);
  if (!segment.ok()) {
    std::error_code error;
    fs::remove(PathOf("segment-", number), error);
    return segment.status();
  }
  MutexLock lock(&mutex_);
  segment_ = std::move(segment).Take();
  last_number_ = number;
  return number;
}

Result<std::shared_ptr<BlockFileWriter>> PushLog::WriteHead(
    std::uint64_t number, const LogHead& head) {
  auto created =
      BlockFileWriter::CreateLog(PathOf("segment-", number), FileKind::kLog);
  HET_RETURN_IF_ERROR(created.status());
  std::shared_ptr<BlockFileWriter> segment = std::move(created).Take();
  const std::string text = EncodeHead(head);
  const Span<const char> payload(text.data(), text.size());
  HET_RETURN_IF_ERROR(segment->Write(kLogHead, {&payload, 1}));
  for (const TableSpec& spec : head.tables) {
    const std::string table = EncodeLoggedTable(spec);
    const Span<const char> piece(table.data(), table.size());
    HET_RETURN_IF_ERROR(segment->Write(kLogTable, {&piece, 1}));
  }
  if (durability_ == Durability::kSynced) {
    HET_RETURN_IF_ERROR(segment->Sync());
    HET_RETURN_IF_ERROR(SyncDirectory(directory_));
  }
  return segment;
}

Status PushLog::SetBase(std::uint64_t number, const LogBase& base) {
  Encoder encoder;
  encoder.Put(std::uint64_t{base.shard});
  encoder.Put(std::uint64_t{base.shards});
  encoder.Put(std::uint64_t{base.files.size()});
  LogBase held{{}, base.shard, base.shards};
  for (std::size_t i = 0; i < base.files.size(); ++i) {
    const std::string name = RowsName(number, i);
    held.files.push_back(directory_ + "/" + name);
    HET_RETURN_IF_ERROR(HoldFile(base.files[i], held.files.back()));
    encoder.PutString(name);
  }
  auto writer =
      BlockFileWriter::Create(PathOf("base-", number), FileKind::kLogBase);
  HET_RETURN_IF_ERROR(writer.status());
  const Span<const char> payload = encoder.bytes();
  HET_RETURN_IF_ERROR((*writer)->Write(kLogBase, {&payload, 1}));
  const Status finished = (*writer)->Finish();
  if (!finished.ok()) {
    // It may be there or not: nothing more can be built on either.
    MutexLock lock(&mutex_);
    if (failure_.ok()) failure_ = finished;
    return finished;
  }
  base_ = std::move(held);
  RemoveLogFilesBefore(directory_, number);
  return OkStatus();
}

Status PushLog::Append(std::uint32_t kind,
                       Span<const Span<const char>> pieces) {
  const std::uint32_t checksum = BlockFileWriter::PayloadChecksum(pieces);
  MutexLock lock(&mutex_);
  HET_RETURN_IF_ERROR(failure_);
  const Status written = segment_->Write(kind, pieces, checksum);
  if (!written.ok()) {
    failure_ = Status(
        written.code() == StatusCode::kResourceExhausted
            ? StatusCode::kResourceExhausted
            : StatusCode::kInternal,
        "the shard can keep no log any more, and takes no updates without one: " +
            written.message() +
            "; make room or mend the disk, then start the shard again: it comes "
            "back as it was");
    return failure_;
  }
  ++appended_;
  return OkStatus();
}

Status PushLog::AppendExchange(const ExchangeHeader& header,
                               Span<const TableExchange> tables) {
  std::uint64_t pushed = 0;
  for (const TableExchange& table : tables) {
    pushed += table.push_ids.empty() ? 0 : 1;
  }
  Encoder encoder;
  encoder.Put(std::uint64_t{header.worker});
  encoder.Put(std::uint64_t{header.sequence});
  encoder.Put(pushed);
  std::vector<Span<const char>> pieces = {{}};
  constexpr std::size_t kTableBytes = 4 * sizeof(std::uint64_t);
  Encoder sizes;
  for (const TableExchange& table : tables) {
    if (table.push_ids.empty()) continue;
    sizes.Put(std::uint64_t{table.table});
    sizes.Put(std::uint64_t{table.round});
    sizes.Put(std::uint64_t{table.push_ids.size()});
    sizes.Put(std::uint64_t{table.push_gradients.size()});
  }
  std::size_t next = 0;
  for (const TableExchange& table : tables) {
    if (table.push_ids.empty()) continue;
    pieces.push_back(sizes.bytes().subspan(next, kTableBytes));
    next += kTableBytes;
    pieces.push_back(BytesOf(table.push_ids));
    pieces.push_back(BytesOf(table.push_clocks));
    pieces.push_back(BytesOf(table.push_learning_rates));
    pieces.push_back(BytesOf(table.push_gradients));
  }
  pieces[0] = encoder.bytes();
  return Append(kLogExchange, pieces);
}

Status PushLog::AppendTable(const TableSpec& spec) {
  const std::string table = EncodeLoggedTable(spec);
  const Span<const char> piece(table.data(), table.size());
  return Append(kLogTable, {&piece, 1});
}

Status PushLog::AppendRefusal(const ExchangeHeader& header,
                              const Status& status) {
  Encoder encoder;
  encoder.Put(std::uint64_t{header.worker});
  encoder.Put(std::uint64_t{header.sequence});
  encoder.Put(static_cast<std::uint32_t>(status.code()));
  encoder.PutString(status.message());
  const Span<const char> piece = encoder.bytes();
  return Append(kLogRefusal, {&piece, 1});
}

Status PushLog::AppendDrop(TableId table) {
  Encoder encoder;
  encoder.Put(std::uint64_t{table});
  const Span<const char> piece = encoder.bytes();
  return Append(kLogDrop, {&piece, 1});
}

Status PushLog::AppendAssign(TableId table, Staleness staleness,
                             Span<const RowId> ids, Span<const float> rows) {
  Encoder encoder;
  encoder.Put(std::uint64_t{table});
  encoder.Put(std::int64_t{staleness});
  encoder.Put(std::uint64_t{ids.size()});
  encoder.Put(std::uint64_t{rows.size()});
  const Span<const char> pieces[] = {encoder.bytes(), BytesOf(ids),
                                     BytesOf(rows)};
  return Append(kLogAssign, {pieces, 3});
}

void PushLog::WhenDurable(std::function<void(Status)> done) {
  Status failure;
  {
    MutexLock lock(&mutex_);
    failure = failure_;
    if (failure.ok() && durability_ == Durability::kSynced &&
        durable_ < appended_) {
      waiting_.push_back({appended_, std::move(done)});
      changed_.NotifyAll();
      return;
    }
  }
  done(std::move(failure));
}

void PushLog::SyncLoop() {
  std::vector<std::function<void(Status)>> ready;
  while (true) {
    std::shared_ptr<BlockFileWriter> segment;
    std::uint64_t target = 0;
    Status status;
    {
      MutexLock lock(&mutex_);
      while (waiting_.empty() && !closing_) changed_.Wait(&mutex_);
      if (waiting_.empty()) return;
      segment = segment_;
      target = appended_;
      status = failure_;
    }
    // One sync for everything that has been appended meanwhile.
    if (status.ok()) status = segment->Sync();
    {
      MutexLock lock(&mutex_);
      if (status.ok()) {
        durable_ = target;
      } else if (failure_.ok()) {
        failure_ = status.WithContext("the shard can keep no log any more");
      }
      while (!waiting_.empty() &&
             (!status.ok() || waiting_.front().first <= target)) {
        ready.push_back(std::move(waiting_.front().second));
        waiting_.pop_front();
      }
    }
    for (auto& done : ready) done(status);
    ready.clear();
  }
}

}  // namespace het
