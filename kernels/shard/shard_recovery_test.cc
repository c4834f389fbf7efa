// A shard with a log: whenever it ends, it comes back with every update that was
// acknowledged, and no repeat is applied twice.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "kernels/base/incarnation.h"
#include "kernels/shard/shard.h"
#include "kernels/testing/checkpoint_site.h"
#include "kernels/testing/owned_request.h"

namespace het {
namespace {

namespace fs = std::filesystem;

constexpr RowId kRows = 200;

TableSpec Spec(const std::string& name, bool synchronous = false) {
  TableSpec spec;
  spec.name = name;
  spec.dimension = 2;
  spec.seed = 3;
  spec.optimizer = {"adagrad", {}};
  spec.synchronous = synchronous;
  return spec;
}

class ShardRecovery : public testing::Test {
 protected:
  ShardRecovery() {
    SCOPED_TRACE(seed_);
    options_.log_directory = site_.directory() + "/log";
    Open();
    EXPECT_TRUE(shard_->CreateTable(Spec("a")).ok());
    EXPECT_TRUE(shard_->CreateTable(Spec("b")).ok());
  }

  void Open() {
    shard_.reset();  // it holds the log
    auto shard = Shard::Open(options_);
    ASSERT_TRUE(shard.ok()) << shard.status().ToString();
    shard_ = std::move(shard).Take();
  }
  Status OpenStatus() {
    shard_.reset();
    return Shard::Open(options_).status();
  }

  // Random pushes to both tables, with reads.
  std::unique_ptr<OwnedRequest> Request(std::uint64_t sequence,
                                        Incarnation worker = 7) {
    auto request = std::make_unique<OwnedRequest>();
    for (const char* name : {"a", "b"}) {
      OwnedRequest::Table& table = request->Add(Spec(name).id());
      const auto pushes = random_() % 10;
      for (std::uint64_t i = 0; i < pushes; ++i) {
        table.Push(static_cast<RowId>(random_() % kRows),
                   static_cast<Clock>(random_() % 50), 0.5f,
                   {static_cast<float>(random_() % 9) - 4, 1});
      }
      table.Fetch(1);
    }
    request->header = {worker, shard_->incarnation(), sequence};
    return request;
  }
  Status Send(OwnedRequest& request) {
    return ExchangeAndWait(*shard_, request.request()).status();
  }

  struct Row {
    std::vector<float> values;
    Clock clock = 0;
    float step_scale = 0;
    bool operator==(const Row& other) const {
      return values == other.values && clock == other.clock &&
             step_scale == other.step_scale;
    }
  };
  std::vector<Row> Rows(Shard& shard) {
    OwnedRequest request;
    for (const char* name : {"a", "b"}) {
      OwnedRequest::Table& table = request.Add(Spec(name).id());
      for (RowId id = 0; id < kRows; ++id) table.Fetch(id);
    }
    // A worker of its own: the others' numbers stay.
    request.header = {DrawIncarnation(), shard.incarnation(), 1};
    const auto reply = ExchangeAndWait(shard, request.request());
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    std::vector<Row> rows;
    if (!reply.ok()) return rows;
    for (const TableReply& table : reply->tables) {
      for (const RowView& view : table.fetched) {
        Row row;
        if (!view.initial) row.values.assign(view.values, view.values + 2);
        row.clock = view.clock;
        row.step_scale = view.step_scale;
        rows.push_back(row);
      }
    }
    return rows;
  }
  // The file that grows.
  std::string Segment() const {
    std::map<std::uint64_t, std::string> segments;
    for (const auto& entry : fs::directory_iterator(options_.log_directory)) {
      const std::string name = entry.path().filename().string();
      if (name.rfind("segment-", 0) == 0) {
        segments[std::stoull(name.substr(8))] = entry.path().string();
      }
    }
    return segments.rbegin()->second;
  }

  const std::uint64_t seed_ = 99;
  std::mt19937_64 random_{seed_};
  CheckpointSite site_;
  Shard::Options options_;
  std::shared_ptr<Shard> shard_;
};

TEST_F(ShardRecovery, ComesBackAsItWasAgainAndAgain) {
  Shard twin;
  ASSERT_TRUE(twin.CreateTable(Spec("a")).ok());
  ASSERT_TRUE(twin.CreateTable(Spec("b")).ok());
  const Incarnation incarnation = shard_->incarnation();
  std::uint64_t sequence = 0;
  for (int life = 0; life < 20; ++life) {
    for (int i = 0; i < 10; ++i) {
      const auto request = Request(++sequence);
      ASSERT_TRUE(Send(*request).ok());
      request->header.shard = twin.incarnation();
      ASSERT_TRUE(ExchangeAndWait(twin, request->request()).ok());
    }
    Open();
    ASSERT_EQ(shard_->incarnation(), incarnation);
    ASSERT_EQ(Rows(*shard_), Rows(twin)) << "life " << life;
  }
}

TEST_F(ShardRecovery, ARepeatOfWhatWasAppliedBeforeTheEndIsRecognised) {
  const auto first = Request(1), second = Request(2);
  ASSERT_TRUE(Send(*first).ok());
  ASSERT_TRUE(Send(*second).ok());
  const auto before = Rows(*shard_);
  Open();
  ASSERT_TRUE(Send(*second).ok());
  ASSERT_TRUE(Send(*first).ok());
  EXPECT_EQ(Rows(*shard_), before);
  EXPECT_EQ(shard_->Stats()->front().repeated_exchanges, 2);
  // And the next one is the next one.
  EXPECT_TRUE(Send(*Request(3)).ok());
}

TEST_F(ShardRecovery, NumbersOfReadsAndRefusedExchangesAreTaken) {
  OwnedRequest read;
  read.Add(Spec("a").id()).Fetch(1);
  read.header = {7, shard_->incarnation(), 1};
  ASSERT_TRUE(Send(read).ok());
  OwnedRequest refused;
  refused.Add(12345).Push(1, 1, 1, {1, 1});
  refused.header = {7, shard_->incarnation(), 2};
  ASSERT_EQ(Send(refused).code(), StatusCode::kNotFound);
  Open();
  EXPECT_TRUE(Send(*Request(3)).ok());
}

TEST_F(ShardRecovery, AssignedRowsAndSynchronousTablesComeBack) {
  ASSERT_TRUE(shard_->CreateTable(Spec("s", true)).ok());
  const std::vector<RowId> ids = {3, 5};
  const std::vector<float> values = {1, 2, 3, 4};
  ASSERT_TRUE(shard_->Assign(Spec("a").id(), 4, ids, values).ok());
  for (std::uint64_t round = 1; round <= 3; ++round) {
    for (const Incarnation worker : {7, 8}) {
      OwnedRequest request;
      OwnedRequest::Table& table = request.Add(Spec("s").id());
      table.Push(1, static_cast<Clock>(round), 0.5f, {1, 2});
      table.round = round;
      request.header = {worker, shard_->incarnation(), round};
      ASSERT_TRUE(Send(request).ok());
    }
  }
  const auto synchronous_row = [this] {
    OwnedRequest request;
    request.Add(Spec("s").id()).Fetch(1);
    request.header = {DrawIncarnation(), shard_->incarnation(), 1};
    const auto reply = ExchangeAndWait(*shard_, request.request());
    EXPECT_TRUE(reply.ok());
    const RowView& view = reply->tables[0].fetched[0];
    return std::vector<float>(view.values, view.values + 2);
  };
  const auto before = Rows(*shard_);
  const auto row = synchronous_row();
  Open();
  EXPECT_EQ(Rows(*shard_), before);
  EXPECT_EQ(synchronous_row(), row);
}

TEST_F(ShardRecovery, FromACheckpointAndTheLogSinceThen) {
  std::uint64_t sequence = 0;
  std::string last;
  for (int cut = 0; cut < 8; ++cut) {
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(Send(*Request(++sequence)).ok());
    if (cut != 4) {
      const std::string name = "c" + std::to_string(cut);
      const auto saved =
          site_.Save(*shard_, name, cut % 3 == 0 || cut == 5 ? "" : last);
      ASSERT_TRUE(saved.ok()) << saved.status().ToString();
      last = name;
    }
    ASSERT_TRUE(Send(*Request(++sequence)).ok());
    const auto before = Rows(*shard_);
    if (cut >= 4) {
      // Whoever keeps the last checkpoints takes the old ones away.
      for (int old = 0; old < cut; ++old) {
        fs::remove_all(site_.directory() + "/c" + std::to_string(old));
      }
    }
    if (cut % 2 == 1) continue;  // the next cut comes without an end between
    Open();
    ASSERT_EQ(Rows(*shard_), before) << "cut " << cut;
    // What has changed since a checkpoint of an earlier life it cannot tell.
    last = "";
    ++cut;
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(Send(*Request(++sequence)).ok());
  }
}

TEST_F(ShardRecovery, AShardThatWasRestartedWritesNoCheckpointOfALaterMoment) {
  ASSERT_TRUE(Send(*Request(1)).ok());
  SnapshotRequest request = site_.Snapshot("a");
  ASSERT_TRUE(shard_->Snapshot(request).ok());
  Open();
  ASSERT_TRUE(Send(*Request(2)).ok());
  request.begin = false;
  const Status status = shard_->Snapshot(request).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("has been restarted"), std::string::npos)
      << status.ToString();
}

TEST_F(ShardRecovery, ACheckpointMakesTheLogBeforeItSuperfluous) {
  for (std::uint64_t i = 1; i <= 50; ++i) ASSERT_TRUE(Send(*Request(i)).ok());
  const std::string before = Segment();
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  EXPECT_FALSE(fs::exists(before));
  ASSERT_TRUE(Send(*Request(51)).ok());
  const auto rows = Rows(*shard_);
  ASSERT_TRUE(site_.Save(*shard_, "b", "a").ok());
  Open();
  EXPECT_EQ(Rows(*shard_), rows);
}

TEST_F(ShardRecovery, ARestoreIsPartOfWhatComesBack) {
  for (std::uint64_t i = 1; i <= 5; ++i) ASSERT_TRUE(Send(*Request(i)).ok());
  ASSERT_TRUE(site_.Save(*shard_, "a").ok());
  const auto saved = Rows(*shard_);
  for (std::uint64_t i = 6; i <= 9; ++i) ASSERT_TRUE(Send(*Request(i)).ok());
  ASSERT_TRUE(site_.Load(*shard_, {{"a", 1}}).ok());
  Open();
  EXPECT_EQ(Rows(*shard_), saved);
  ASSERT_TRUE(Send(*Request(10)).ok());
  const auto later = Rows(*shard_);
  Open();
  EXPECT_EQ(Rows(*shard_), later);
}

TEST_F(ShardRecovery, ASegmentThatEndsAnywhereGivesAPrefix) {
  std::vector<std::vector<Row>> states = {Rows(*shard_)};
  std::vector<std::uintmax_t> sizes = {fs::file_size(Segment())};
  std::vector<std::unique_ptr<OwnedRequest>> requests;
  for (std::uint64_t i = 1; i <= 12; ++i) {
    requests.push_back(Request(i));
    ASSERT_TRUE(Send(*requests.back()).ok());
    sizes.push_back(fs::file_size(Segment()));
    states.push_back(Rows(*shard_));
  }
  const std::string segment = Segment();
  shard_.reset();
  const fs::path saved = site_.directory() + "/saved";
  fs::copy(options_.log_directory, saved, fs::copy_options::recursive);
  for (std::uintmax_t size = sizes.front(); size <= sizes.back(); size += 23) {
    fs::remove_all(options_.log_directory);
    fs::copy(saved, options_.log_directory, fs::copy_options::recursive);
    fs::resize_file(segment, size);
    Open();
    const auto whole = static_cast<std::size_t>(
        std::upper_bound(sizes.begin(), sizes.end(), size) - sizes.begin() - 1);
    ASSERT_EQ(Rows(*shard_), states[whole]) << size;
    // The worker sends what was not acknowledged again, and all is as it was.
    for (const auto& request : requests) ASSERT_TRUE(Send(*request).ok());
    ASSERT_EQ(Rows(*shard_), states.back()) << size;
    Open();
    ASSERT_EQ(Rows(*shard_), states.back()) << size;
  }
}

TEST_F(ShardRecovery, AnAcknowledgedUpdateThatIsLostIsNotPassedOver) {
  // A machine that loses its power loses its page cache.
  ASSERT_TRUE(Send(*Request(1)).ok());
  const auto size = fs::file_size(Segment());
  ASSERT_TRUE(Send(*Request(2)).ok());
  const std::string segment = Segment();
  shard_.reset();
  fs::resize_file(segment, size);
  Open();
  const auto rows = Rows(*shard_);
  // The worker has the answer to 2 and goes on with 3, which waits.
  const auto next = Request(3);
  Status answer = OkStatus();
  shard_->Exchange(next->request(), [&](Status status, ExchangeReply) {
    answer = std::move(status);
  });
  EXPECT_TRUE(answer.ok());
  EXPECT_EQ(Rows(*shard_), rows);
  shard_->Close();
  EXPECT_EQ(answer.code(), StatusCode::kUnavailable);
}

TEST_F(ShardRecovery, DamageBeforeTheEndIsNotTakenForTheEnd) {
  for (std::uint64_t i = 1; i <= 12; ++i) ASSERT_TRUE(Send(*Request(i)).ok());
  const std::string segment = Segment();
  shard_.reset();
  std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
  // In the middle of the file, in a payload: the block behind it makes sense.
  const auto size = fs::file_size(segment);
  file.seekg(static_cast<std::streamoff>(size / 2));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(size / 2));
  file.put(static_cast<char>(byte ^ 1));
  file.close();
  const Status status = OpenStatus();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status.ToString();
  EXPECT_NE(status.message().find(segment), std::string::npos);
}

TEST_F(ShardRecovery, AMissingSegmentIsAnError) {
  ASSERT_TRUE(Send(*Request(1)).ok());
  const std::string first = Segment();
  Open();
  ASSERT_TRUE(Send(*Request(2)).ok());
  shard_.reset();
  fs::remove(first);
  const Status status = OpenStatus();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status.ToString();
  EXPECT_NE(status.message().find(first), std::string::npos);
}

TEST_F(ShardRecovery, TwoShardsCannotShareALog) {
  const Status status = Shard::Open(options_).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("in use by another shard"),
            std::string::npos);
}

TEST_F(ShardRecovery, SeveralWorkersAtOnceAndCutsMeanwhile) {
  // Sums of whole numbers: whatever the order, the same rows.
  TableSpec spec = Spec("sum");
  spec.optimizer = {"sgd", {}};
  spec.initializer = {"zeros", {}};
  for (const Durability durability :
       {Durability::kPageCache, Durability::kSynced}) {
    options_.log_directory = site_.directory() + "/log-" +
                             std::to_string(static_cast<int>(durability));
    options_.durability = durability;
    Open();
    ASSERT_TRUE(shard_->CreateTable(spec).ok());
    std::vector<std::thread> workers;
    for (Incarnation worker = 1; worker <= 3; ++worker) {
      workers.emplace_back([&, worker] {
        for (std::uint64_t i = 1; i <= 100; ++i) {
          OwnedRequest request;
          OwnedRequest::Table& table = request.Add(spec.id());
          for (RowId id = 0; id < 50; ++id) table.Push(id, 1, 1, {-1, -2});
          request.header = {worker, shard_->incarnation(), i};
          ASSERT_TRUE(ExchangeAndWait(*shard_, request.request()).ok());
        }
      });
    }
    for (int cut = 0; cut < 5; ++cut) {
      const std::string name =
          "w" + std::to_string(static_cast<int>(durability)) + "-" +
          std::to_string(cut);
      const auto saved = site_.Save(*shard_, name);
      ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    }
    for (std::thread& worker : workers) worker.join();
    Open();
    OwnedRequest request;
    OwnedRequest::Table& table = request.Add(spec.id());
    for (RowId id = 0; id < 50; ++id) table.Fetch(id);
    request.header = {9, shard_->incarnation(), 1};
    const auto reply = ExchangeAndWait(*shard_, request.request());
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    for (const RowView& view : reply->tables[0].fetched) {
      ASSERT_EQ(view.values[0], 300);
      ASSERT_EQ(view.values[1], 600);
    }
  }
}

}  // namespace
}  // namespace het
