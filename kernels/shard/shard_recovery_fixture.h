// ShardRecovery: a shard with a log that ends and comes back as a test likes.

#ifndef HET_TF_KERNELS_SHARD_SHARD_RECOVERY_FIXTURE_H_
#define HET_TF_KERNELS_SHARD_SHARD_RECOVERY_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/base/incarnation.h"
#include "kernels/shard/shard.h"
#include "kernels/testing/checkpoint_site.h"
#include "kernels/testing/owned_request.h"

namespace het {

namespace fs = std::filesystem;

inline constexpr RowId kRows = 200;

inline TableSpec Spec(const std::string& name, bool synchronous = false) {
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
  const testing::ScopedTrace trace_{__FILE__, __LINE__, seed_};
  std::mt19937_64 random_{seed_};
  CheckpointSite site_;
  Shard::Options options_;
  std::shared_ptr<Shard> shard_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SHARD_SHARD_RECOVERY_FIXTURE_H_
