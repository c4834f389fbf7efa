// RequestSplit: every part of a request goes to the shard of its id, sorted, and
// every part of a reply comes back to its place.

#include "kernels/store/request_split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "kernels/testing/owned_request.h"

namespace het {
namespace {

TEST(RequestSplit, PartsTogetherAreTheWholeAndRepliesComeHome) {
  std::mt19937_64 random(3);
  for (const std::size_t shards : {1, 2, 3, 7}) {
    const Router router(shards);
    OwnedRequest whole;
    whole.header = {11, 22, 33};
    const std::vector<std::size_t> dimensions = {1, 3, 2};
    for (std::size_t t = 0; t < 3; ++t) {
      OwnedRequest::Table& table = whole.Add(100 + t, static_cast<Staleness>(t));
      for (int i = 0; i < 40; ++i) {
        const auto id = static_cast<RowId>(random() % 20);
        if (random() % 2 == 0) {
          table.Push(id, i, static_cast<float>(i) / 2,
                     std::vector<float>(dimensions[t], static_cast<float>(i)));
        }
        if (random() % 2 == 0) table.Validate(id, i);
        if (random() % 2 == 0) table.Fetch(id);
      }
    }
    const RequestSplit split(whole.request(), dimensions, router);
    ExchangeReply reply = split.PrepareReply();
    // Values that tell what they answer: (shard, table, id).
    std::map<TableId, std::vector<RowId>> pushed;
    for (std::size_t s = 0; s < shards; ++s) {
      const ExchangeRequest& part = split.request(s);
      EXPECT_EQ(part.header.worker, 11u);
      EXPECT_EQ(part.header.sequence, 33u);
      ExchangeReply answer;
      auto buffer = std::make_shared<std::vector<float>>(1000);
      std::size_t used = 0;
      for (const TableExchange& table : part.tables) {
        EXPECT_FALSE(table.empty());
        EXPECT_EQ(table.staleness, static_cast<Staleness>(table.table - 100));
        const std::size_t dimension = dimensions[table.table - 100];
        ASSERT_EQ(table.push_gradients.size(),
                  table.push_ids.size() * dimension);
        for (std::size_t i = 0; i < table.push_ids.size(); ++i) {
          EXPECT_EQ(router.ShardOf(table.push_ids[i]), s);
          const Clock clock = table.push_clocks[i];
          if (i > 0) {
            ASSERT_LE(table.push_ids[i - 1], table.push_ids[i]);
            if (table.push_ids[i - 1] == table.push_ids[i]) {
              EXPECT_GT(clock, table.push_clocks[i - 1]) << "steps out of order";
            }
          }
          EXPECT_EQ(table.push_learning_rates[i],
                    static_cast<float>(clock) / 2);
          for (std::size_t d = 0; d < dimension; ++d) {
            EXPECT_EQ(table.push_gradients[i * dimension + d],
                      static_cast<float>(clock));
          }
          pushed[table.table].push_back(table.push_ids[i]);
        }
        answer.tables.emplace_back();
        answer.tables.back().dimension = dimension;
        for (std::size_t i = 0; i < table.validate_ids.size(); ++i) {
          EXPECT_EQ(router.ShardOf(table.validate_ids[i]), s);
          float* value = buffer->data() + used++;
          *value = static_cast<float>(table.validate_ids[i]);
          answer.tables.back().validated.push_back(
              table.validate_clocks[i] % 3 == 0
                  ? RowView{}
                  : RowView{value, table.validate_clocks[i], 2});
        }
        for (std::size_t i = 0; i < table.fetch_ids.size(); ++i) {
          EXPECT_EQ(router.ShardOf(table.fetch_ids[i]), s);
          float* value = buffer->data() + used++;
          *value = static_cast<float>(table.fetch_ids[i]);
          answer.tables.back().fetched.push_back(RowView{value, 5, 3});
        }
      }
      answer.buffers.push_back(buffer);
      if (part.tables.empty()) continue;
      EXPECT_TRUE(std::is_sorted(part.tables[0].validate_ids.begin(),
                                 part.tables[0].validate_ids.end()));
      EXPECT_TRUE(std::is_sorted(part.tables[0].fetch_ids.begin(),
                                 part.tables[0].fetch_ids.end()));
      const Status merged = split.Merge(s, std::move(answer), &reply);
      EXPECT_TRUE(merged.ok()) << merged.ToString();
    }
    for (std::size_t t = 0; t < 3; ++t) {
      const OwnedRequest::Table& table = whole.tables[t];
      EXPECT_EQ(pushed[100 + t].size(), table.push_ids.size());
      ASSERT_EQ(reply.tables[t].validated.size(), table.validate_ids.size());
      for (std::size_t i = 0; i < table.validate_ids.size(); ++i) {
        const RowView& view = reply.tables[t].validated[i];
        if (table.validate_clocks[i] % 3 == 0) {
          EXPECT_FALSE(view.answered());
        } else {
          EXPECT_EQ(*view.values, static_cast<float>(table.validate_ids[i]));
          EXPECT_EQ(view.clock, table.validate_clocks[i]);
        }
      }
      ASSERT_EQ(reply.tables[t].fetched.size(), table.fetch_ids.size());
      for (std::size_t i = 0; i < table.fetch_ids.size(); ++i) {
        EXPECT_EQ(*reply.tables[t].fetched[i].values,
                  static_cast<float>(table.fetch_ids[i]));
      }
    }
  }
}

TEST(RequestSplit, AReplyThatDoesNotFitIsAnErrorThatNamesTheShard) {
  OwnedRequest whole;
  whole.Add(1).Fetch(0).Validate(0, 1);
  const Router router(7);
  const std::size_t shard = router.ShardOf(0);
  const RequestSplit split(whole.request(), {2}, router);
  ExchangeReply reply = split.PrepareReply();
  const float values[] = {1, 2};
  ExchangeReply right;
  right.tables.resize(1);
  right.tables[0].dimension = 2;
  right.tables[0].fetched = {RowView{values, 1, 1}};
  right.tables[0].validated = {RowView{}};
  EXPECT_TRUE(split.Merge(shard, right, &reply).ok());
  ExchangeReply wrong = right;
  wrong.tables[0].dimension = 1;
  Status status = split.Merge(shard, wrong, &reply);
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_NE(status.message().find(internal::StreamToString(
                "shard ", shard, " replied with rows of dimension 1, expected "
                "2")),
            std::string::npos)
      << status.ToString();
  wrong = right;
  wrong.tables.emplace_back();
  EXPECT_EQ(split.Merge(shard, wrong, &reply).code(), StatusCode::kInternal);
  wrong.tables.clear();
  EXPECT_EQ(split.Merge(shard, wrong, &reply).code(), StatusCode::kInternal);
  wrong = right;
  wrong.tables[0].fetched.clear();
  EXPECT_EQ(split.Merge(shard, wrong, &reply).code(), StatusCode::kInternal);
}

TEST(RequestSplit, AShardWithNothingToDoGetsAnEmptyRequest) {
  OwnedRequest whole;
  whole.Add(1).Fetch(0);
  whole.Add(2);
  const Router router(7);
  const RequestSplit split(whole.request(), {1, 1}, router);
  for (std::size_t s = 0; s < 7; ++s) {
    EXPECT_EQ(split.request(s).tables.size(), s == router.ShardOf(0) ? 1u : 0u);
  }
}

TEST(RequestSplit, PartsKeepTheFormatsAndTheRound) {
  OwnedRequest whole;
  OwnedRequest::Table& table = whole.Add(1);
  table.Fetch(0);
  table.round = 8;
  table.row_format = WireFormat::kInt8;
  table.gradient_format = WireFormat::kFloat16;
  const Router router(3);
  const RequestSplit split(whole.request(), {1}, router);
  const TableExchange& part = split.request(router.ShardOf(0)).tables[0];
  EXPECT_EQ(part.round, 8u);
  EXPECT_EQ(part.row_format, WireFormat::kInt8);
  EXPECT_EQ(part.gradient_format, WireFormat::kFloat16);
}

}  // namespace
}  // namespace het
