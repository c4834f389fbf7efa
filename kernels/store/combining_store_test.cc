// CombiningStore: what is started under a Hold goes out as one exchange, in
// order, within its bounds, and everyone gets the own part of the answer. (What
// a store answers at all: the contract.)

#include "kernels/store/combining_store.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "kernels/shard/shard.h"
#include "kernels/testing/owned_request.h"
#include "kernels/testing/wrapped_store.h"

namespace het {
namespace {

// Notes the tables of every exchange; fails them when told to.
class ProbeStore final : public WrappedStore {
 public:
  using WrappedStore::WrappedStore;

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    {
      MutexLock lock(&mutex_);
      sizes_.push_back(request.tables.size());
    }
    if (failure.ok()) {
      store().Exchange(request, std::move(done));
    } else {
      done(failure, {});
    }
  }
  std::vector<std::size_t> sizes() {
    MutexLock lock(&mutex_);
    return sizes_;
  }

  Status failure;

 private:
  Mutex mutex_;
  std::vector<std::size_t> sizes_ HET_GUARDED_BY(mutex_);
};

class CombiningStoreTest : public testing::Test {
 protected:
  void SetUp() override { Make(CombiningStore::kMaxBytes); }

  void Make(std::size_t max_bytes) {
    auto shard = std::make_shared<Shard>();
    probe_ = std::make_shared<ProbeStore>(
        std::make_shared<NumberingStore>(shard, 1, shard->incarnation()));
    store_ = std::make_unique<CombiningStore>(probe_, max_bytes);
    for (int t = 0; t < 3; ++t) {
      TableSpec spec;
      spec.name = "t" + std::to_string(t);
      spec.dimension = static_cast<std::size_t>(t + 1);
      spec.initializer = {"zeros", {}};
      ASSERT_TRUE(store_->CreateTable(spec).ok());
      specs_.push_back(spec);
    }
  }

  // Pushes -value to row 7 of table t and reads it back.
  std::future<float> Start(int t, float value, Status* status) {
    auto request = std::make_shared<OwnedRequest>();
    const std::size_t dimension = specs_[t].dimension;
    request->Add(specs_[t].id())
        .Push(7, 1, 1, std::vector<float>(dimension, -value))
        .Fetch(7);
    auto read = std::make_shared<std::promise<float>>();
    store_->Exchange(request->request(),
                     [request, read, status](Status s, ExchangeReply reply) {
                       *status = s;
                       read->set_value(
                           s.ok() ? *reply.tables.at(0).fetched.at(0).values
                                  : -1);
                     });
    return read->get_future();
  }

  std::vector<TableSpec> specs_;
  std::shared_ptr<ProbeStore> probe_;
  std::unique_ptr<CombiningStore> store_;
};

TEST_F(CombiningStoreTest, ExchangesOfAHoldGoAsOne) {
  Status status[3];
  std::future<float> read[3];
  {
    CombiningStore::Hold hold(store_.get());
    for (int t = 0; t < 3; ++t) read[t] = Start(t, 10.0f + t, &status[t]);
    EXPECT_TRUE(probe_->sizes().empty());
  }
  EXPECT_EQ(probe_->sizes(), (std::vector<std::size_t>{3}));
  for (int t = 0; t < 3; ++t) {
    EXPECT_EQ(read[t].get(), 10.0f + t);
    EXPECT_TRUE(status[t].ok());
  }
}

TEST_F(CombiningStoreTest, WithoutAHoldNothingWaits) {
  Status status;
  EXPECT_EQ(Start(1, 3, &status).get(), 3);
  EXPECT_EQ(Start(1, 3, &status).get(), 6);
  EXPECT_EQ(probe_->sizes(), (std::vector<std::size_t>{1, 1}));
}

TEST_F(CombiningStoreTest, ASecondExchangeOfATableBeginsTheNextInOrder) {
  Status status;
  std::future<float> read[4];
  {
    CombiningStore::Hold hold(store_.get());
    read[0] = Start(0, 1, &status);
    read[1] = Start(1, 1, &status);
    read[2] = Start(0, 1, &status);
    read[3] = Start(2, 1, &status);
  }
  EXPECT_EQ(probe_->sizes(), (std::vector<std::size_t>{2, 2}));
  EXPECT_EQ(read[0].get(), 1);
  EXPECT_EQ(read[2].get(), 2);
}

TEST_F(CombiningStoreTest, ACombinedExchangeStaysWithinItsBytes) {
  // Parts of 8, 16 and 24 bytes: the gradient and the row that is read.
  Make(24);
  Status status;
  std::future<float> read[3];
  {
    CombiningStore::Hold hold(store_.get());
    for (int t = 0; t < 3; ++t) read[t] = Start(t, 1, &status);
  }
  EXPECT_EQ(probe_->sizes(), (std::vector<std::size_t>{2, 1}));
  for (auto& one : read) EXPECT_EQ(one.get(), 1);
}

TEST_F(CombiningStoreTest, AFailureReachesEveryPart) {
  probe_->failure = Unavailable("shard 1 is gone");
  Status status[2];
  {
    CombiningStore::Hold hold(store_.get());
    for (int t = 0; t < 2; ++t) Start(t, 1, &status[t]);
  }
  for (const Status& one : status) {
    EXPECT_EQ(one.ToString(), "UNAVAILABLE: shard 1 is gone");
  }
}

TEST_F(CombiningStoreTest, HoldsThatOverlapDoNotTakeEachOthersApart) {
  Status status;
  std::future<float> read[4];
  auto first = std::make_unique<CombiningStore::Hold>(store_.get());
  read[0] = Start(0, 1, &status);
  auto second = std::make_unique<CombiningStore::Hold>(store_.get());
  read[1] = Start(1, 1, &status);
  read[2] = Start(1, 1, &status);
  first.reset();
  EXPECT_TRUE(probe_->sizes().empty());
  read[3] = Start(0, 1, &status);
  second.reset();
  EXPECT_EQ(probe_->sizes(), (std::vector<std::size_t>{2, 2}));
  EXPECT_EQ(read[0].get(), 1);
  EXPECT_EQ(read[1].get(), 1);
  EXPECT_EQ(read[2].get(), 2);
  EXPECT_EQ(read[3].get(), 2);
}

TEST_F(CombiningStoreTest, HoldsThatFollowWithoutAGapKeepNothingForEver) {
  Status status;
  auto hold = std::make_unique<CombiningStore::Hold>(store_.get());
  std::future<float> read = Start(0, 1, &status);
  for (int end = 1; end <= CombiningStore::kMaxEnds; ++end) {
    EXPECT_TRUE(probe_->sizes().empty()) << "after " << end - 1;
    auto next = std::make_unique<CombiningStore::Hold>(store_.get());
    hold = std::move(next);  // which ends the one before
  }
  EXPECT_EQ(read.get(), 1);
  // Counted anew: what comes now is kept back again.
  read = Start(0, 1, &status);
  EXPECT_EQ(probe_->sizes().size(), 1u);
  hold.reset();
  EXPECT_EQ(read.get(), 2);
}

TEST_F(CombiningStoreTest, ManyThreadsLoseNothing) {
  constexpr int kThreads = 4, kRounds = 200;
  std::vector<std::thread> threads;
  for (int k = 0; k < kThreads; ++k) {
    threads.emplace_back([this] {
      Status status[3];
      for (int i = 0; i < kRounds; ++i) {
        std::future<float> read[3];
        {
          CombiningStore::Hold hold(store_.get());
          for (int t = 0; t < 3; ++t) read[t] = Start(t, 1, &status[t]);
        }
        for (int t = 0; t < 3; ++t) {
          EXPECT_GE(read[t].get(), i + 1);
          EXPECT_TRUE(status[t].ok()) << status[t].ToString();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Status status;
  for (int t = 0; t < 3; ++t) {
    EXPECT_EQ(Start(t, 0, &status).get(), kThreads * kRounds);
  }
}

}  // namespace
}  // namespace het
