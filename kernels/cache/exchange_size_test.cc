// EmbeddingCache: exchanges stay within max_exchange_bytes, whatever is asked
// for or pending.

#include <numeric>

#include "kernels/cache/embedding_cache_fixture.h"

namespace het {
namespace {

class ExchangeSizeTest : public EmbeddingCacheTest {
 protected:
  // Three rows of the fixture's dimension 1.
  ExchangeSizeTest() { options_.max_exchange_bytes = 3 * sizeof(float); }

  static Ids UpTo(RowId end) {
    Ids ids(static_cast<std::size_t>(end));
    std::iota(ids.begin(), ids.end(), 0);
    return ids;
  }
  void ExpectBounded() const {
    EXPECT_LE(spy_->most_pushed, 3u);
    EXPECT_LE(spy_->most_asked, 3u);
  }
};

TEST_F(ExchangeSizeTest, AFlushPushesOneBoundedExchangeAfterTheOther) {
  options_.staleness = 100;
  Open();
  const Ids ids = UpTo(20);
  Lookup(ids);
  ASSERT_TRUE(Update(ids, std::vector<float>(20, 1)).ok());
  spy_->exchanges = 0;
  ASSERT_TRUE(Flush().ok());
  EXPECT_EQ(spy_->exchanges, 7);
  ExpectBounded();
  for (const RowId id : ids) EXPECT_EQ(Stored(id), 9) << id;
}

TEST_F(ExchangeSizeTest, AFlushWaitsForEachOfItsExchanges) {
  options_.staleness = 100;
  Open();
  const Ids ids = UpTo(20);
  Lookup(ids);
  ASSERT_TRUE(Update(ids, std::vector<float>(20, 1)).ok());
  spy_->exchanges = 0;
  spy_->hold = true;
  bool flushed = false;
  cache_->Flush([&](Status status) { flushed = status.ok(); });
  EXPECT_EQ(spy_->exchanges, 1);
  EXPECT_FALSE(flushed);
  spy_->Release();
  EXPECT_EQ(spy_->exchanges, 7);
  EXPECT_TRUE(flushed);
}

TEST_F(ExchangeSizeTest, ALargeReadIsCutAndLimitedUnderWay) {
  Open();
  spy_->hold = true;
  const Ids ids = UpTo(20);
  std::vector<float> rows(ids.size());
  bool read = false;
  cache_->Lookup(ids, ReadMode::kTraining, rows.data(),
                 [&](Status status) { read = status.ok(); });
  EXPECT_EQ(spy_->exchanges, 4) << "all were under way at once";
  spy_->Release();
  EXPECT_TRUE(read);
  EXPECT_EQ(spy_->exchanges, 7);
  ExpectBounded();
  EXPECT_EQ(rows, std::vector<float>(20, 10));
}

TEST_F(ExchangeSizeTest, PushesAtStalenessZeroAreCut) {
  options_.staleness = 0;
  Open();
  const Ids ids = UpTo(20);
  ASSERT_TRUE(Update(ids, std::vector<float>(20, 1)).ok());
  ExpectBounded();
  for (const RowId id : ids) EXPECT_EQ(Stored(id), 9) << id;
}

TEST_F(ExchangeSizeTest, RowsThatAreDueBeyondTheBoundTravelLater) {
  Open();
  const Ids ids = UpTo(7);
  Lookup(ids);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Update(ids, std::vector<float>(7, 1)).ok());
  }
  for (const RowId other : {100, 101, 102}) Lookup({other});
  ExpectBounded();
  for (const RowId id : ids) EXPECT_EQ(Stored(id), 7) << id;
}

TEST_F(ExchangeSizeTest, GradientsOfEvictedRowsAreCutAndPrecedeTheirRefetch) {
  options_.capacity = 1;
  Open();
  const Ids ids = UpTo(20);
  ASSERT_TRUE(Update(ids, std::vector<float>(20, 1)).ok());
  EXPECT_EQ(Lookup(ids), std::vector<float>(20, 9));
  ExpectBounded();
}

}  // namespace
}  // namespace het
