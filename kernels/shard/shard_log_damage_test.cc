// A shard whose log ends early, is damaged or lacks something: a prefix comes back,
// or nothing and an error, never a state without what was acknowledged.

#include <algorithm>
#include <fstream>

#include "kernels/shard/shard_recovery_fixture.h"

namespace het {
namespace {

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

TEST_F(ShardRecovery, ADamagedHeaderIsNotTakenForTheEndEither) {
  std::vector<std::uintmax_t> sizes;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    sizes.push_back(fs::file_size(Segment()));
    ASSERT_TRUE(Send(*Request(i)).ok());
  }
  const std::string segment = Segment();
  shard_.reset();
  const auto flip = [&](std::uintmax_t at) {
    std::fstream file(segment, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 4));
  };
  for (std::uintmax_t byte = 0; byte < 24; ++byte) {
    flip(sizes[2] + byte);
    EXPECT_EQ(OpenStatus().code(), StatusCode::kDataLoss) << byte;
    flip(sizes[2] + byte);
  }
  // The last record is complete, so a process that ended did not leave it so.
  flip(fs::file_size(segment) - 1);
  EXPECT_EQ(OpenStatus().code(), StatusCode::kDataLoss);
  flip(fs::file_size(segment) - 1);
  EXPECT_TRUE(OpenStatus().ok());
}

TEST_F(ShardRecovery, ExchangesThatAreMissingBetweenSegmentsAreMissed) {
  ASSERT_TRUE(Send(*Request(1)).ok());
  const auto size = fs::file_size(Segment());
  ASSERT_TRUE(Send(*Request(2)).ok());
  const std::string first = Segment();
  Open();
  shard_.reset();
  fs::resize_file(first, size);
  const Status status = OpenStatus();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status.ToString();
  EXPECT_NE(status.message().find("exchanges from 2 to 2"), std::string::npos)
      << status.ToString();
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

}  // namespace
}  // namespace het
