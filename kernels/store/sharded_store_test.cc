// ShardedStore: idle shards are left alone, bad requests reach nobody, and the
// first failing shard speaks for the exchange. (What it answers: the contract.)

#include "kernels/store/sharded_store.h"

#include <gtest/gtest.h>

#include <deque>

#include "kernels/shard/shard.h"
#include "kernels/testing/owned_request.h"
#include "kernels/testing/wrapped_store.h"

namespace het {
namespace {

// Counts exchanges, holds them back when told to, and can fail them.
class ProbeStore final : public WrappedStore {
 public:
  using WrappedStore::WrappedStore;

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    ++exchanges;
    if (!failure.ok()) {
      done(failure, {});
    } else if (holding) {
      held.push_back([this, &request, done] {
        store().Exchange(request, done);
      });
    } else {
      store().Exchange(request, std::move(done));
    }
  }
  Traffic traffic() const override {
    Traffic traffic;
    traffic.exchanges = exchanges;
    traffic.sent.ids = 10;
    traffic.received.rows = 7;
    return traffic;
  }

  int exchanges = 0;
  bool holding = false;
  Status failure;
  std::deque<std::function<void()>> held;
};

class ShardedStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<std::shared_ptr<EmbeddingStore>> stores;
    for (int s = 0; s < 3; ++s) {
      auto shard = std::make_shared<Shard>();
      probes_.push_back(std::make_shared<ProbeStore>(
          std::make_shared<NumberingStore>(shard, 1, shard->incarnation())));
      stores.push_back(probes_.back());
    }
    store_ = std::make_unique<ShardedStore>(stores);
    in_pieces_ = std::make_unique<ShardedStore>(stores, 8);
    spec_.name = "t";
    spec_.dimension = 1;
    spec_.initializer = {"zeros", {}};
    ASSERT_TRUE(store_->CreateTable(spec_).ok());
    ASSERT_TRUE(in_pieces_->CreateTable(spec_).ok());
  }

  static RowId IdOn(std::size_t shard) {
    RowId id = 0;
    while (Router(3).ShardOf(id) != shard) ++id;
    return id;
  }

  std::vector<std::shared_ptr<ProbeStore>> probes_;
  std::unique_ptr<ShardedStore> store_;
  std::unique_ptr<ShardedStore> in_pieces_;  // of two rows
  TableSpec spec_;
};

TEST_F(ShardedStoreTest, LeavesShardsWithNothingToDoAlone) {
  OwnedRequest request;
  request.Add(spec_.id()).Fetch(IdOn(1)).Push(IdOn(1), 1, 1, {1});
  ASSERT_TRUE(ExchangeAndWait(*store_, request.request()).ok());
  EXPECT_EQ(probes_[0]->exchanges, 0);
  EXPECT_EQ(probes_[1]->exchanges, 1);
  EXPECT_EQ(probes_[2]->exchanges, 0);
}

TEST_F(ShardedStoreTest, AnswersWhenTheLastShardHas) {
  probes_[2]->holding = true;
  OwnedRequest request;
  request.Add(spec_.id()).Fetch(IdOn(2)).Fetch(IdOn(0)).Fetch(IdOn(1));
  int answers = 0;
  store_->Exchange(request.request(), [&](Status status, ExchangeReply reply) {
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(reply.tables[0].fetched.size(), 3u);
    for (const RowView& row : reply.tables[0].fetched) {
      EXPECT_TRUE(row.initial);
    }
    ++answers;
  });
  EXPECT_EQ(answers, 0);
  probes_[2]->held.front()();
  EXPECT_EQ(answers, 1);
}

TEST_F(ShardedStoreTest, PiecesAreSentInOrderWithoutWaitingForAnswers) {
  ProbeStore& probe = *probes_[1];
  probe.holding = true;
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec_.id());
  std::vector<RowId> ids;
  for (RowId id = 0; ids.size() < 7; ++id) {
    if (Router(3).ShardOf(id) == 1) ids.push_back(id);
  }
  for (const RowId id : ids) {
    table.Push(id, 1, 1, {static_cast<float>(-id)}).Fetch(id);
  }
  int answers = 0;
  in_pieces_->Exchange(
      request.request(), [&](Status status, ExchangeReply reply) {
        ASSERT_TRUE(status.ok()) << status.ToString();
        ASSERT_EQ(reply.tables[0].fetched.size(), ids.size());
        for (std::size_t i = 0; i < ids.size(); ++i) {
          EXPECT_EQ(*reply.tables[0].fetched[i].values,
                    static_cast<float>(ids[i]));
        }
        ++answers;
      });
  // 14 rows of 4 bytes in pieces of 8, or one row more.
  ASSERT_GE(probe.held.size(), 5u);
  while (!probe.held.empty()) {
    EXPECT_EQ(answers, 0);
    probe.held.front()();
    probe.held.pop_front();
  }
  EXPECT_EQ(answers, 1);
}

TEST_F(ShardedStoreTest, ChecksTheWholeRequestBeforeItAsksAnybody) {
  OwnedRequest request;
  for (std::size_t s = 0; s < 3; ++s) {
    request.Add(spec_.id()).Push(IdOn(s), 1, 1, {1});
  }
  request.Add(spec_.id()).Push(IdOn(0), -1, 1, {1});
  EXPECT_EQ(ExchangeAndWait(*store_, request.request()).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(ExchangeAndWait(*in_pieces_, request.request()).status().code(),
            StatusCode::kInvalidArgument);
  for (const auto& probe : probes_) EXPECT_EQ(probe->exchanges, 0);
}

TEST_F(ShardedStoreTest, TheFirstFailingShardSpeaks) {
  probes_[1]->failure = Unavailable("one");
  probes_[2]->failure = Internal("two");
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec_.id());
  for (std::size_t s = 0; s < 3; ++s) table.Fetch(IdOn(s));
  int answers = 0;
  store_->Exchange(request.request(), [&](Status status, ExchangeReply reply) {
    EXPECT_EQ(status.ToString(), "UNAVAILABLE: one");
    EXPECT_TRUE(reply.tables.empty());
    ++answers;
  });
  EXPECT_EQ(answers, 1);
}

TEST_F(ShardedStoreTest, AFailureDoesNotWaitForTheOthers) {
  probes_[1]->holding = true;
  probes_[2]->failure = Internal("two");
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec_.id());
  for (std::size_t s = 0; s < 3; ++s) table.Push(IdOn(s), 1, 1, {1});
  int answers = 0;
  store_->Exchange(request.request(), [&](Status status, ExchangeReply) {
    EXPECT_EQ(status.ToString(), "INTERNAL: two");
    ++answers;
  });
  EXPECT_EQ(answers, 1);
  probes_[1]->held.front()();
  EXPECT_EQ(answers, 1);
}

TEST_F(ShardedStoreTest, AddsUpTrafficAndListsShardsInOrder) {
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(spec_.id());
  for (std::size_t s = 0; s < 3; ++s) table.Push(IdOn(s), 1, 1, {1});
  ASSERT_TRUE(ExchangeAndWait(*store_, request.request()).ok());
  const Traffic traffic = store_->traffic();
  EXPECT_EQ(traffic.exchanges, 3);
  EXPECT_EQ(traffic.sent.total(), 30);
  EXPECT_EQ(traffic.received.total(), 21);
  const auto stats = store_->Stats();
  ASSERT_TRUE(stats.ok());
  for (std::size_t s = 0; s < 3; ++s) {
    EXPECT_EQ((*stats)[s].tables[0].rows, 1) << "shard " << s;
  }
}

}  // namespace
}  // namespace het
