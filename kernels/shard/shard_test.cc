// Shard: headers, repeats, incarnations, the end. (Rows: the store contract.)

#include "kernels/shard/shard.h"

#include <gtest/gtest.h>

#include "kernels/testing/owned_request.h"

namespace het {
namespace {

class ShardTest : public testing::Test {
 protected:
  ShardTest() {
    spec_.name = "t";
    spec_.dimension = 1;
    spec_.initializer = {"zeros", {}};
    EXPECT_TRUE(shard_->CreateTable(spec_).ok());
  }

  static Shard::Options Incarnation42() {
    Shard::Options options;
    options.incarnation = 42;
    options.window = 8;
    options.max_reply_bytes = 64;  // four rows
    return options;
  }

  struct Answer {
    int count = 0;
    Status status;
    ExchangeReply reply;
  };

  // Push of 1 to row 1 and a read of it.
  std::shared_ptr<Answer> Send(ExchangeHeader header) {
    auto request = std::make_shared<OwnedRequest>();
    request->Add(spec_.id()).Push(1, 1, 1, {-1}).Fetch(1);
    request->header = header;
    auto answer = std::make_shared<Answer>();
    shard_->Exchange(request->request(), [answer, request](Status status,
                                                           ExchangeReply reply) {
      ++answer->count;
      answer->status = std::move(status);
      answer->reply = std::move(reply);
    });
    return answer;
  }
  static float Value(const Answer& answer) {
    EXPECT_TRUE(answer.status.ok()) << answer.status.ToString();
    return answer.status.ok() ? *answer.reply.tables[0].fetched[0].values : -1;
  }

  std::shared_ptr<Shard> shard_ = std::make_shared<Shard>(Incarnation42());
  TableSpec spec_;
};

TEST_F(ShardTest, DrawsAnIncarnationUnlessGivenOne) {
  EXPECT_EQ(shard_->incarnation(), 42u);
  EXPECT_NE(Shard().incarnation(), 0u);
  EXPECT_NE(Shard().incarnation(), Shard().incarnation());
}

TEST_F(ShardTest, ARepeatedExchangeIsNotAppliedAgainButReadAgain) {
  EXPECT_EQ(Value(*Send({7, 42, 1})), 1);
  EXPECT_EQ(Value(*Send({7, 42, 1})), 1);
  EXPECT_EQ(Value(*Send({7, 42, 2})), 2);
  EXPECT_EQ(Value(*Send({7, 42, 1})), 2);
  const ShardStats stats = shard_->Stats()->front();
  EXPECT_EQ(stats.exchanges, 2);
  EXPECT_EQ(stats.repeated_exchanges, 2);
  EXPECT_EQ(stats.workers, 1);
}

TEST_F(ShardTest, NumbersOfDifferentWorkersAreIndependent) {
  EXPECT_EQ(Value(*Send({7, 42, 1})), 1);
  EXPECT_EQ(Value(*Send({8, 42, 1})), 2);
  EXPECT_EQ(shard_->Stats()->front().workers, 2);
}

TEST_F(ShardTest, AnEarlyExchangeWaitsForTheOneBefore) {
  const auto second = Send({7, 42, 2});
  EXPECT_EQ(second->count, 0);
  EXPECT_EQ(Value(*Send({7, 42, 1})), 1);
  EXPECT_EQ(second->count, 1);
  EXPECT_EQ(Value(*second), 2);
}

TEST_F(ShardTest, ARefusedExchangeTakesItsNumberAndIsRefusedAgain) {
  const TableId right = spec_.id();
  spec_.name = "unknown";
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Send({7, 42, 1})->status.code(), StatusCode::kNotFound);
  }
  spec_.name = "t";
  ASSERT_EQ(spec_.id(), right);
  EXPECT_EQ(Value(*Send({7, 42, 2})), 1);
}

TEST_F(ShardTest, RefusesAHeaderWithoutWorkerOrNumber) {
  EXPECT_EQ(Send({0, 42, 1})->status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Send({7, 42, 0})->status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Value(*Send({7, 42, 1})), 1);
}

TEST_F(ShardTest, RefusesAnExchangeMeantForAnotherIncarnation) {
  const auto answer = Send({7, 41, 1});
  EXPECT_EQ(answer->status.code(), StatusCode::kFailedPrecondition);
  for (const char* part : {"restarted", "000000000000002a", "0000000000000029"}) {
    EXPECT_NE(answer->status.message().find(part), std::string::npos)
        << answer->status.message();
  }
  EXPECT_EQ(Value(*Send({7, 42, 1})), 1);
}

TEST_F(ShardTest, AReplyAboveTheLimitIsRefusedBeforeAnythingIsApplied) {
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec_.id());
  table.Push(1, 1, 1, {-1});
  for (RowId id = 0; id < 5; ++id) table.Fetch(id);
  request.header = {7, 42, 1};
  const Status status = ExchangeAndWait(*shard_, request.request()).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("80 bytes, the limit of this shard is 64"),
            std::string::npos)
      << status.ToString();
  EXPECT_EQ(Value(*Send({7, 42, 2})), 1);
}

TEST_F(ShardTest, CloseAnswersWhatWaitsAndWhatWouldHaveTo) {
  const auto waiting = Send({7, 42, 2});
  shard_->Close();
  EXPECT_EQ(waiting->count, 1);
  EXPECT_EQ(waiting->status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(Send({7, 42, 3})->status.code(), StatusCode::kUnavailable);
  // Of a worker that was not known when the shard closed, too.
  const auto late = Send({9, 42, 2});
  EXPECT_EQ(late->count, 1);
  EXPECT_EQ(late->status.code(), StatusCode::kUnavailable);
}

TEST_F(ShardTest, TheRecordOfAWorkerThatIsGoneIsDroppedWhenAnotherComes) {
  Shard::Options options = Incarnation42();
  options.worker_expiry = std::chrono::milliseconds(0);
  shard_ = std::make_shared<Shard>(options);
  ASSERT_TRUE(shard_->CreateTable(spec_).ok());
  EXPECT_EQ(Value(*Send({7, 42, 1})), 1);
  const auto waiting = Send({8, 42, 2});  // it is not gone: it waits
  EXPECT_EQ(shard_->Stats()->front().workers, 1);
  EXPECT_EQ(Value(*Send({9, 42, 1})), 2);
  EXPECT_EQ(shard_->Stats()->front().workers, 2);
  EXPECT_EQ(Value(*Send({8, 42, 1})), 3);
  EXPECT_EQ(waiting->count, 1);
  EXPECT_EQ(Value(*waiting), 4);
}

TEST_F(ShardTest, ItsEndAnswersWhatWaits) {
  const auto waiting = Send({7, 42, 2});
  shard_.reset();
  EXPECT_EQ(waiting->count, 1);
  EXPECT_EQ(waiting->status.code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace het
