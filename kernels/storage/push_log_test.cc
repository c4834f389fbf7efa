// PushLog: records come back in order; bases replace what is before them; what was
// to be synced is answered after that. (What a shard makes of it: shard_recovery_test.)

#include "kernels/storage/push_log.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>

#include "kernels/base/mutex.h"
#include "kernels/storage/record_codec.h"
#include "kernels/testing/checkpoint_site.h"
#include "kernels/testing/owned_request.h"

// What the log syncs with, in the place of the library's.
namespace {
struct Disk {
  het::Mutex mutex;
  std::atomic<int> syncs{0};
} g_disk;
}  // namespace

extern "C" int fdatasync(int file) {
  het::MutexLock lock(&g_disk.mutex);
  ++g_disk.syncs;
  return fsync(file);
}

namespace het {
namespace {

namespace fs = std::filesystem;

// What it is given, one line each.
class Listener final : public LogReplayer {
 public:
  Status Head(const LogHead& head) override {
    std::string line = "head " + std::to_string(head.shard);
    for (const auto& [worker, next] : head.workers) {
      line += " " + std::to_string(worker) + ":" + std::to_string(next);
    }
    lines.push_back(line);
    return OkStatus();
  }
  Status Table(const TableSpec& spec) override {
    lines.push_back("table " + spec.name);
    return OkStatus();
  }
  Status Exchange(const ExchangeRequest& request) override {
    std::string line = "exchange " + std::to_string(request.header.worker) +
                       ":" + std::to_string(request.header.sequence);
    for (const TableExchange& table : request.tables) {
      line += " [" + std::to_string(table.round);
      for (std::size_t i = 0; i < table.push_ids.size(); ++i) {
        line += " " + std::to_string(table.push_ids[i]) + "@" +
                std::to_string(table.push_clocks[i]) + "*" +
                std::to_string(static_cast<int>(table.push_learning_rates[i]));
      }
      line += " =";
      for (const float value : table.push_gradients) {
        line += " " + std::to_string(static_cast<int>(value));
      }
      line += "]";
    }
    lines.push_back(line);
    return OkStatus();
  }
  Status Assign(TableId table, Staleness staleness, Span<const RowId> ids,
                Span<const float> rows) override {
    lines.push_back("assign " + std::to_string(table) + " " +
                    std::to_string(staleness) + " " +
                    std::to_string(ids.size()) + " " +
                    std::to_string(rows.size()));
    return OkStatus();
  }
  Status Refusal(const ExchangeHeader& header, const Status& status) override {
    lines.push_back("refused " + std::to_string(header.worker) + ":" +
                    std::to_string(header.sequence) + " " + status.ToString());
    return OkStatus();
  }
  Status Drop(TableId table) override {
    lines.push_back("drop " + std::to_string(table));
    return OkStatus();
  }
  std::vector<std::string> lines;
};

TableSpec Spec() {
  TableSpec spec;
  spec.name = "t";
  spec.dimension = 2;
  return spec;
}

class PushLogTest : public testing::Test {
 protected:
  std::string directory() const { return site_.directory() + "/log"; }
  std::unique_ptr<PushLog> Open(Durability durability = Durability::kPageCache) {
    auto log = PushLog::Open(directory(), durability);
    EXPECT_TRUE(log.ok()) << log.status().ToString();
    return log.ok() ? std::move(log).Take() : nullptr;
  }
  std::vector<std::string> Lines(PushLog& log) {
    Listener listener;
    const Status status = log.Replay(&listener);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return listener.lines;
  }
  static Status Append(PushLog& log, std::uint64_t sequence) {
    OwnedRequest request;
    request.Add(5).Push(-1, 2, 3, {4, 5}).Push(6, 7, 8, {9, 10}).Fetch(3);
    request.tables.back().round = 11;
    request.Add(6).Fetch(1);  // nothing is pushed: nothing is kept
    request.header = {1, 0, sequence};
    const ExchangeRequest& view = request.request();
    return log.AppendExchange(view.header, view.tables);
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory())) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  CheckpointSite site_;
};

TEST_F(PushLogTest, RecordsComeBackInOrder) {
  {
    const auto log = Open();
    EXPECT_TRUE(log->empty());
    ASSERT_TRUE(log->Begin({42, {{1, 3}, {2, 9}}, {Spec()}}).ok());
    ASSERT_TRUE(Append(*log, 3).ok());
    ASSERT_TRUE(log->AppendExchange({2, 0, 9}, {}).ok());
    const std::vector<RowId> ids = {1, 2};
    const std::vector<float> rows = {1, 2, 3, 4};
    ASSERT_TRUE(log->AppendAssign(77, kUnboundedStaleness, ids, rows).ok());
    ASSERT_TRUE(log->AppendDrop(78).ok());
    ASSERT_TRUE(log->AppendRefusal({2, 0, 10}, NotFound("no table")).ok());
    ASSERT_TRUE(log->AppendTable(Spec()).ok());
  }
  const auto log = Open();
  EXPECT_FALSE(log->empty());
  EXPECT_TRUE(log->base().files.empty());
  const std::vector<std::string> expected = {
      "head 42 1:3 2:9",
      "table t",
      "exchange 1:3 [11 -1@2*3 6@7*8 = 4 5 9 10]",
      "exchange 2:9",
      "assign 77 " + std::to_string(kUnboundedStaleness) + " 2 4",
      "drop 78",
      "refused 2:10 NOT_FOUND: no table",
      "table t"};
  EXPECT_EQ(Lines(*log), expected);
}

TEST_F(PushLogTest, ABaseReplacesWhatIsBeforeItsSegment) {
  const std::string rows = site_.directory() + "/rows";
  std::ofstream(rows) << "rows";
  {
    const auto log = Open();
    ASSERT_TRUE(log->Begin({42, {}, {}}).ok());
    ASSERT_TRUE(Append(*log, 1).ok());
    const auto second = log->Begin({42, {{1, 2}}, {}});
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(*second, 2u);
    ASSERT_TRUE(Append(*log, 2).ok());
    ASSERT_TRUE(log->SetBase(*second, {{rows, rows}, 1, 3}).ok());
    EXPECT_EQ(Files(), (std::vector<std::string>{"base-2.het", "lock",
                                                 "rows-2-0.het", "rows-2-1.het",
                                                 "segment-2.het"}));
  }
  fs::remove(rows);
  const auto log = Open();
  EXPECT_EQ(log->base().shard, 1u);
  EXPECT_EQ(log->base().shards, 3u);
  ASSERT_EQ(log->base().files.size(), 2u);
  EXPECT_EQ(fs::file_size(log->base().files[1]), 4u);
  EXPECT_EQ(Lines(*log),
            (std::vector<std::string>{
                "head 42 1:2", "exchange 1:2 [11 -1@2*3 6@7*8 = 4 5 9 10]"}));
}

TEST_F(PushLogTest, ABaseOnFilesOfTheLastBaseHoldsThem) {
  const std::string full = site_.directory() + "/full",
                    increment = site_.directory() + "/increment";
  std::ofstream(full) << "full";
  std::ofstream(increment) << "+";
  const auto log = Open();
  auto number = log->Begin({42, {}, {}});
  ASSERT_TRUE(log->SetBase(*number, {{full}, 0, 1}).ok());
  fs::remove(full);
  number = log->Begin({42, {}, {}});
  LogBase base = log->base();
  base.files.push_back(increment);
  ASSERT_TRUE(log->SetBase(*number, base).ok());
  EXPECT_EQ(Files(), (std::vector<std::string>{"base-2.het", "lock",
                                               "rows-2-0.het", "rows-2-1.het",
                                               "segment-2.het"}));
  EXPECT_EQ(fs::file_size(log->base().files[0]), 4u);
}

// Else the shard would come back with rows that are not its own, or with none.
TEST_F(PushLogTest, ABaseOfAShardThatCannotBeIsDamage) {
  const std::size_t no_shards = 0, too_many = 4097;
  for (const LogBase& base : {LogBase{{}, 3, 3}, LogBase{{}, 0, no_shards},
                              LogBase{{}, 0, too_many}}) {
    {
      const auto log = Open();
      const auto number = log->Begin({42, {}, {}});
      ASSERT_TRUE(log->SetBase(*number, base).ok());
    }
    EXPECT_EQ(PushLog::Open(directory(), Durability::kPageCache).status().code(),
              StatusCode::kDataLoss);
    fs::remove_all(directory());
  }
}

// A name that is empty or leads elsewhere would be opened all the same.
TEST_F(PushLogTest, ABaseOfFilesThatAreNotTheLogsIsDamage) {
  for (const char* name : {"", "..", "rows-1-1.het", "../log/rows-1-0.het"}) {
    {
      const auto log = Open();
      ASSERT_TRUE(log->Begin({42, {}, {}}).ok());
    }
    Encoder encoder;
    for (const std::uint64_t number : {0, 1, 1}) encoder.Put(number);
    encoder.PutString(name);
    auto base = BlockFileWriter::Create(directory() + "/base-1.het",
                                        FileKind::kLogBase);
    const Span<const char> payload = encoder.bytes();
    ASSERT_TRUE((*base)->Write(kLogBase, {&payload, 1}).ok());
    ASSERT_TRUE((*base)->Finish().ok());
    EXPECT_EQ(PushLog::Open(directory(), Durability::kPageCache).status().code(),
              StatusCode::kDataLoss)
        << name;
    fs::remove_all(directory());
  }
}

TEST_F(PushLogTest, SyncedAnswersComeAfterTheSyncAllOfThem) {
  const auto log = Open(Durability::kSynced);
  ASSERT_TRUE(log->Begin({42, {}, {}}).ok());
  std::promise<void> all;
  std::atomic<int> answers{0};
  const int before = g_disk.syncs;
  {
    MutexLock disk_is_slow(&g_disk.mutex);
    for (std::uint64_t i = 1; i <= 100; ++i) {
      ASSERT_TRUE(Append(*log, i).ok());
      log->WhenDurable([&](Status status) {
        EXPECT_TRUE(status.ok());
        if (++answers == 100) all.set_value();
      });
    }
    EXPECT_EQ(answers, 0);
  }
  all.get_future().wait();
  EXPECT_GE(g_disk.syncs, before + 1);
  EXPECT_LE(g_disk.syncs, before + 2) << "many share one";
  // Without anything new the answer comes at once.
  bool answered = false;
  log->WhenDurable([&](Status) { answered = true; });
  EXPECT_TRUE(answered);
}

TEST_F(PushLogTest, AFullDiskEndsTheLogAndKeepsWhatIsInIt) {
  {
    const auto log = Open();
    ASSERT_TRUE(log->Begin({42, {}, {}}).ok());
    ASSERT_TRUE(Append(*log, 1).ok());
    rlimit old = {};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    const auto handler = signal(SIGXFSZ, SIG_IGN);
    rlimit small = old;
    small.rlim_cur = fs::file_size(directory() + "/segment-1.het") + 50;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const Status failed = Append(*log, 2);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    EXPECT_FALSE(failed.ok());
    EXPECT_NE(failed.message().find("segment-1.het"), std::string::npos)
        << failed.ToString();
    // There is room again, but half a record is in the way.
    EXPECT_EQ(Append(*log, 2).message(), failed.message());
    // Nothing comes behind it: the next life cuts it off.
    EXPECT_EQ(log->Begin({42, {}, {}}).status().message(), failed.message());
    EXPECT_FALSE(fs::exists(directory() + "/segment-2.het"));
    Status answer;
    log->WhenDurable([&](Status status) { answer = status; });
    EXPECT_FALSE(answer.ok());
  }
  const auto log = Open();
  EXPECT_EQ(Lines(*log).size(), 2u);
  // Cut off, so that the next one begins where the last record ends.
  ASSERT_TRUE(log->Begin({42, {}, {}}).ok());
  const auto again = Lines(*log);
  EXPECT_EQ(again.size(), 2u);
}

}  // namespace
}  // namespace het
