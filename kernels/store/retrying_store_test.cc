// RetryingStore under a timer that a test moves: what is repeated and when, the
// deadline, what an error says, and what a lasting failure does to the rest.

#include "kernels/store/retrying_store.h"

#include <gtest/gtest.h>

#include <deque>
#include <future>
#include <thread>

#include "kernels/testing/manual_timer.h"
#include "kernels/testing/owned_request.h"

namespace het {
namespace {

using std::chrono::milliseconds;

// Answers attempts as a script says; past its end, with OK.
class ScriptedStore final : public EmbeddingStore {
 public:
  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    headers.push_back(request.header);
    done(Next(), {});
  }
  Status CreateTable(const TableSpec&) override { return Next(); }
  Status Assign(TableId, Staleness, Span<const RowId>,
                Span<const float>) override {
    return Next();
  }
  Result<std::vector<ShardStats>> Stats() override {
    const Status status = Next();
    if (!status.ok()) return status;
    return std::vector<ShardStats>(1);
  }
  Result<CheckpointProgress> Snapshot(const SnapshotRequest&) override {
    return Progress();
  }
  Result<CheckpointProgress> Restore(const RestoreRequest&) override {
    return Progress();
  }
  Traffic traffic() const override { return {}; }

  std::deque<Status> script;
  std::vector<ExchangeHeader> headers;
  int calls = 0;

 private:
  Result<CheckpointProgress> Progress() {
    const Status status = Next();
    if (!status.ok()) return status;
    return CheckpointProgress{true, calls, 0};
  }
  Status Next() {
    ++calls;
    if (script.empty()) return OkStatus();
    const Status status = script.front();
    script.pop_front();
    return status;
  }
};

class RetryingStoreTest : public testing::Test {
 protected:
  RetryingStoreTest() {
    RetryOptions options;
    options.worker = 77;
    options.shard = 88;
    options.name = "shard 1 (127.0.0.1:4700)";
    options.deadline = milliseconds(1000);
    options.initial_backoff = milliseconds(10);
    options.max_backoff = milliseconds(80);
    store_ = std::make_unique<RetryingStore>(scripted_, options, timer_);
    spec_.name = "user";
    spec_.dimension = 1;
    EXPECT_TRUE(store_->CreateTable(spec_).ok());
    request_.Add(spec_.id()).Fetch(1);
    scripted_->calls = 0;
  }

  // Starts an exchange and returns where its answer will be.
  std::shared_ptr<std::vector<Status>> Start() {
    auto answers = std::make_shared<std::vector<Status>>();
    store_->Exchange(request_.request(), [answers](Status status,
                                                   ExchangeReply) {
      answers->push_back(std::move(status));
    });
    return answers;
  }
  void RunTimer() {
    while (timer_->RunNext()) {
    }
  }

  const std::shared_ptr<ScriptedStore> scripted_ =
      std::make_shared<ScriptedStore>();
  const std::shared_ptr<ManualTimer> timer_ = std::make_shared<ManualTimer>();
  std::unique_ptr<RetryingStore> store_;
  TableSpec spec_;
  OwnedRequest request_;
};

TEST_F(RetryingStoreTest, NumbersExchangesOfOneWorkerFromOne) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Start()->at(0).ok());
  ASSERT_EQ(scripted_->headers.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(scripted_->headers[i].worker, 77u);
    EXPECT_EQ(scripted_->headers[i].shard, 88u);
    EXPECT_EQ(scripted_->headers[i].sequence, i + 1);
  }
}

TEST_F(RetryingStoreTest, RepeatsUnderTheSameNumberWhatMayYetSucceed) {
  scripted_->script = {Unavailable("a"), DeadlineExceeded("b"), Aborted("c"),
                       Unavailable("d")};
  const auto answers = Start();
  EXPECT_TRUE(answers->empty());
  RunTimer();
  ASSERT_EQ(answers->size(), 1u);
  EXPECT_TRUE(answers->at(0).ok());
  EXPECT_EQ(scripted_->calls, 5);
  for (const ExchangeHeader& header : scripted_->headers) {
    EXPECT_EQ(header.sequence, 1u);
  }
  EXPECT_TRUE(Start()->at(0).ok());
  EXPECT_EQ(scripted_->headers.back().sequence, 2u);
}

TEST_F(RetryingStoreTest, WhatIsUnderWayWhenAnotherFailsEndsWithItsAttempt) {
  scripted_->script = {Unavailable("a"), Internal("b"), DeadlineExceeded("c")};
  const auto first = Start(), second = Start();
  EXPECT_EQ(second->at(0).code(), StatusCode::kInternal);
  RunTimer();
  ASSERT_EQ(first->size(), 1u);
  EXPECT_EQ(first->at(0).code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(first->at(0).message().find("an earlier exchange failed"),
            std::string::npos);
  EXPECT_NE(first->at(0).message().find("b"), std::string::npos);
  EXPECT_EQ(scripted_->calls, 3);
}

TEST_F(RetryingStoreTest, PausesGrowToTheirLimitWithinTheirJitter) {
  for (int i = 0; i < 8; ++i) scripted_->script.push_back(Unavailable("x"));
  Start();
  RunTimer();
  const auto delays = timer_->delays();
  ASSERT_EQ(delays.size(), 8u);
  const int longest[] = {10, 20, 40, 80, 80, 80, 80, 80};
  bool below = false;
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_GE(delays[i], milliseconds(longest[i]) / 2) << i;
    EXPECT_LE(delays[i], milliseconds(longest[i])) << i;
    below |= delays[i] < milliseconds(longest[i]) * 9 / 10;
  }
  EXPECT_TRUE(below) << "no jitter";
}

TEST_F(RetryingStoreTest, EndsAtTheDeadlineNamingShardTableCallAndCause) {
  for (int i = 0; i < 1000; ++i) {
    scripted_->script.push_back(Unavailable("connection refused"));
  }
  const auto started = timer_->Now();
  const auto answers = Start();
  RunTimer();
  ASSERT_EQ(answers->size(), 1u);
  EXPECT_LE(timer_->Now() - started, milliseconds(1000));
  EXPECT_GE(timer_->Now() - started, milliseconds(900));
  const Status status = answers->at(0);
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  for (const char* part : {"shard 1 (127.0.0.1:4700)", "exchange for table",
                           "'user'", "1000 ms", "connection refused"}) {
    EXPECT_NE(status.message().find(part), std::string::npos)
        << status.ToString();
  }
}

TEST_F(RetryingStoreTest, AFailedAssignNamesItsTable) {
  for (const Status& failure : {Internal("x"), Unavailable("x")}) {
    RetryOptions options;
    options.name = "shard 0";
    options.deadline = milliseconds(0);
    RetryingStore store(scripted_, options, timer_);
    ASSERT_TRUE(store.CreateTable(spec_).ok());
    scripted_->script = {failure};
    const Status status = store.Assign(spec_.id(), 0, {}, {});
    EXPECT_NE(status.message().find("Assign to table 'user'"),
              std::string::npos)
        << status.ToString();
  }
}

TEST_F(RetryingStoreTest, BeginsNoAttemptThatCouldEndAfterTheDeadline) {
  RetryOptions options;
  options.name = "shard 0";
  options.deadline = milliseconds(900);
  options.attempt = milliseconds(300);
  RetryingStore store(scripted_, options, timer_);
  for (int i = 0; i < 1000; ++i) scripted_->script.push_back(Unavailable("x"));
  const auto started = timer_->Now();
  Status answer;
  store.Exchange(request_.request(),
                 [&](Status status, ExchangeReply) { answer = status; });
  RunTimer();
  EXPECT_EQ(answer.code(), StatusCode::kDeadlineExceeded);
  EXPECT_LE(timer_->Now() - started, milliseconds(600));
}

TEST_F(RetryingStoreTest, FinalErrorsAreNotRepeatedAndNameTheShard) {
  for (const Status& failure :
       {InvalidArgument("x"), NotFound("x"), ResourceExhausted("too large")}) {
    scripted_->calls = 0;
    scripted_->script = {failure};
    const auto answers = Start();
    EXPECT_EQ(scripted_->calls, 1);
    ASSERT_EQ(answers->size(), 1u);
    EXPECT_EQ(answers->at(0).code(), failure.code());
    EXPECT_EQ(answers->at(0).message(),
              "shard 1 (127.0.0.1:4700): " + failure.message());
  }
}

TEST_F(RetryingStoreTest, ARefusedRequestLetsTheNextOnesPass) {
  scripted_->script = {InvalidArgument("wrong"), NotFound("no table"),
                       ResourceExhausted("no memory")};
  for (int refused = 0; refused < 3; ++refused) {
    EXPECT_FALSE(Start()->at(0).ok());
  }
  EXPECT_TRUE(Start()->at(0).ok());
  EXPECT_EQ(scripted_->headers.back().sequence, 4u);
}

TEST_F(RetryingStoreTest, AfterALastingFailureEveryExchangeFailsAtOnce) {
  for (const StatusCode code :
       {StatusCode::kFailedPrecondition, StatusCode::kInternal,
        StatusCode::kDataLoss}) {
    RetryOptions options;
    options.name = "shard 0";
    RetryingStore store(scripted_, options, timer_);
    scripted_->script = {Status(code, "the shard has been restarted")};
    scripted_->calls = 0;
    EXPECT_EQ(ExchangeAndWait(store, request_.request()).status().code(), code);
    for (int i = 0; i < 2; ++i) {
      const Status status =
          ExchangeAndWait(store, request_.request()).status();
      EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
      EXPECT_NE(status.message().find("the shard has been restarted"),
                std::string::npos);
    }
    EXPECT_EQ(scripted_->calls, 1);
  }
}

TEST_F(RetryingStoreTest, ADeadlineIsALastingFailure) {
  for (int i = 0; i < 1000; ++i) scripted_->script.push_back(Unavailable("x"));
  Start();
  RunTimer();
  const int calls = scripted_->calls;
  EXPECT_EQ(Start()->at(0).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(scripted_->calls, calls);
}

// Blocking calls wait in their own thread while the test moves the time.
TEST_F(RetryingStoreTest, AdministrativeCallsAreRepeatedToo) {
  const auto run = [&](const std::function<Status()>& call) {
    auto result = std::async(std::launch::async, call);
    while (result.wait_for(milliseconds(0)) != std::future_status::ready) {
      if (!timer_->RunNext()) std::this_thread::yield();
    }
    return result.get();
  };
  scripted_->script = {Unavailable("x"), Unavailable("x")};
  EXPECT_TRUE(run([&] { return store_->CreateTable(spec_); }).ok());
  scripted_->script = {Unavailable("x")};
  EXPECT_TRUE(run([&] { return store_->Assign(1, 0, {}, {}); }).ok());
  scripted_->script = {Unavailable("x")};
  EXPECT_TRUE(run([&] { return store_->Stats().status(); }).ok());
  EXPECT_EQ(scripted_->calls, 3 + 2 + 2);
  scripted_->script = {InvalidArgument("differs")};
  EXPECT_EQ(run([&] { return store_->CreateTable(spec_); }).message(),
            "shard 1 (127.0.0.1:4700): differs");
  for (int i = 0; i < 1000; ++i) scripted_->script.push_back(Unavailable("x"));
  const Status status = run([&] { return store_->CreateTable(spec_); });
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_NE(status.message().find("CreateTable of 'user'"), std::string::npos);
}

TEST_F(RetryingStoreTest, ACallUnderWayOutlivesTheStore) {
  scripted_->script = {Unavailable("x")};
  const auto answers = Start();
  store_.reset();
  RunTimer();
  ASSERT_EQ(answers->size(), 1u);
  EXPECT_TRUE(answers->at(0).ok());
}

}  // namespace
}  // namespace het
