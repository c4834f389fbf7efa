// RequestSplit: every part of a request goes to the shard of its id, sorted, and
// every part of a reply comes back to its place.

#include "kernels/store/request_split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "kernels/testing/owned_request.h"

namespace het {
namespace {

// More than any request here has.
constexpr std::size_t kOnePiece = std::size_t{1} << 30;

TEST(RequestSplit, PartsTogetherAreTheWholeAndRepliesComeHome) {
  std::mt19937_64 random(3);
  for (const std::size_t shards : {1, 2, 3, 7}) {
    for (const std::size_t piece_bytes : {std::size_t{1}, std::size_t{50}, kOnePiece}) {
      SCOPED_TRACE(testing::Message()
                   << shards << " shards, pieces of " << piece_bytes);
      const Router router(shards);
      OwnedRequest whole;
      whole.header = {11, 22, 33};
      const std::vector<std::size_t> dimensions = {1, 3, 2};
      for (std::size_t t = 0; t < 3; ++t) {
        OwnedRequest::Table& table =
            whole.Add(100 + t, static_cast<Staleness>(t));
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
      RequestSplit split(whole.request(), dimensions, router, piece_bytes);
      ExchangeReply reply = split.PrepareReply();
      // Values that tell what they answer: (shard, table, id).
      std::map<TableId, std::vector<RowId>> pushed;
      for (std::size_t s = 0; s < shards; ++s) {
        std::map<TableId, std::pair<RowId, Clock>> last_push;
        std::map<TableId, RowId> last_validated, last_fetched;
        bool read = false;
        std::size_t total = 0;
        for (std::size_t t = 0; t < 3; ++t) {
          const OwnedRequest::Table& table = whole.tables[t];
          for (const auto* ids :
               {&table.push_ids, &table.validate_ids, &table.fetch_ids}) {
            for (const RowId id : *ids) {
              total += router.ShardOf(id) == s ? 4 * dimensions[t] : 0;
            }
          }
        }
        EXPECT_LE(split.first(s), split.first(s + 1));
        for (std::size_t p = split.first(s); p < split.first(s + 1); ++p) {
          const ExchangeRequest& part = split.Prepare(p);
          EXPECT_EQ(part.header.worker, 11u);
          EXPECT_EQ(part.header.sequence, 33u);
          ExchangeReply answer;
          auto buffer = std::make_shared<std::vector<float>>(1000);
          std::size_t used = 0, bytes = 0;
          std::set<TableId> seen;
          for (const TableExchange& table : part.tables) {
            EXPECT_TRUE(seen.insert(table.table).second) << "a table twice";
            EXPECT_FALSE(table.empty());
            EXPECT_EQ(table.staleness,
                      static_cast<Staleness>(table.table - 100));
            const std::size_t dimension = dimensions[table.table - 100];
            bytes += 4 * dimension *
                     (table.push_ids.size() + table.validate_ids.size() +
                      table.fetch_ids.size());
            ASSERT_EQ(table.push_gradients.size(),
                      table.push_ids.size() * dimension);
            EXPECT_TRUE(table.push_ids.empty() || !read)
                << "pushed after something has been read";
            for (std::size_t i = 0; i < table.push_ids.size(); ++i) {
              const RowId id = table.push_ids[i];
              const Clock clock = table.push_clocks[i];
              EXPECT_EQ(router.ShardOf(id), s);
              const auto last = last_push.find(table.table);
              if (last != last_push.end()) {
                ASSERT_LE(last->second.first, id);
                if (last->second.first == id) {
                  EXPECT_GT(clock, last->second.second) << "steps out of order";
                }
              }
              last_push[table.table] = {id, clock};
              EXPECT_EQ(table.push_learning_rates[i],
                        static_cast<float>(clock) / 2);
              for (std::size_t d = 0; d < dimension; ++d) {
                EXPECT_EQ(table.push_gradients[i * dimension + d],
                          static_cast<float>(clock));
              }
              pushed[table.table].push_back(id);
            }
            answer.tables.emplace_back();
            answer.tables.back().dimension = dimension;
            for (std::size_t i = 0; i < table.validate_ids.size(); ++i) {
              const RowId id = table.validate_ids[i];
              EXPECT_EQ(router.ShardOf(id), s);
              const auto last = last_validated.emplace(table.table, id).first;
              EXPECT_LE(last->second, id);
              last->second = id;
              float* value = buffer->data() + used++;
              *value = static_cast<float>(id);
              answer.tables.back().validated.push_back(
                  table.validate_clocks[i] % 3 == 0
                      ? RowView{}
                      : RowView{value, table.validate_clocks[i], 2});
            }
            for (const RowId id : table.fetch_ids) {
              EXPECT_EQ(router.ShardOf(id), s);
              const auto last = last_fetched.emplace(table.table, id).first;
              EXPECT_LE(last->second, id);
              last->second = id;
              float* value = buffer->data() + used++;
              *value = static_cast<float>(id);
              answer.tables.back().fetched.push_back(RowView{value, 5, 3});
            }
          }
          for (const TableExchange& table : part.tables) {
            read = read || !table.validate_ids.empty() ||
                   !table.fetch_ids.empty();
          }
          // A row more than it may be, for there is no last, small one.
          EXPECT_LE(bytes, std::max(piece_bytes, total / RequestSplit::kMaxPieces) +
                               4 * 3);
          answer.buffers.push_back(buffer);
          ASSERT_FALSE(part.tables.empty());
          const Status merged = split.Merge(p, std::move(answer), &reply);
          EXPECT_TRUE(merged.ok()) << merged.ToString();
        }
        EXPECT_LE(split.first(s + 1) - split.first(s),
                  piece_bytes == kOnePiece ? 1 : RequestSplit::kMaxPieces);
      }
      EXPECT_EQ(split.first(shards), split.pieces());
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
}

// By the bytes that travel, not by those in memory.
TEST(RequestSplit, PiecesAreAsLargeAsOneAnother) {
  for (const WireFormat format : {WireFormat::kFloat32, WireFormat::kInt8}) {
    OwnedRequest whole;
    OwnedRequest::Table& table = whole.Add(1);
    table.row_format = table.gradient_format = format;
    for (RowId id = 0; id < 1000; ++id) {
      table.Push(id, 1, 1, std::vector<float>(8, 1)).Fetch(id);
    }
    const std::size_t bytes = 2 * 1000 * 8 * ValueBytes(format);
    for (const std::size_t pieces : {1, 2, 3, 7}) {
      RequestSplit split(whole.request(), {8}, Router(1), bytes / pieces + 1);
      ASSERT_EQ(split.pieces(), pieces);
      for (std::size_t p = 0; p < pieces; ++p) {
        const TableExchange& part = split.Prepare(p).tables.at(0);
        EXPECT_NEAR(static_cast<double>(part.push_ids.size() +
                                        part.fetch_ids.size()),
                    2000.0 / static_cast<double>(pieces),
                    static_cast<double>(pieces));
      }
    }
  }
}

TEST(RequestSplit, AReplyThatDoesNotFitIsAnErrorThatNamesTheShard) {
  OwnedRequest whole;
  whole.Add(1).Fetch(0).Validate(0, 1);
  const Router router(7);
  const std::size_t shard = router.ShardOf(0);
  const RequestSplit split(whole.request(), {2}, router, kOnePiece);
  ASSERT_EQ(split.pieces(), 1u);
  ExchangeReply reply = split.PrepareReply();
  const float values[] = {1, 2};
  ExchangeReply right;
  right.tables.resize(1);
  right.tables[0].dimension = 2;
  right.tables[0].fetched = {RowView{values, 1, 1}};
  right.tables[0].validated = {RowView{}};
  EXPECT_TRUE(split.Merge(0, right, &reply).ok());
  ExchangeReply wrong = right;
  wrong.tables[0].dimension = 1;
  Status status = split.Merge(0, wrong, &reply);
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_NE(status.message().find(internal::StreamToString(
                "shard ", shard, " replied with rows of dimension 1, expected "
                "2")),
            std::string::npos)
      << status.ToString();
  wrong = right;
  wrong.tables.emplace_back();
  EXPECT_EQ(split.Merge(0, wrong, &reply).code(), StatusCode::kInternal);
  wrong.tables.clear();
  EXPECT_EQ(split.Merge(0, wrong, &reply).code(), StatusCode::kInternal);
  wrong = right;
  wrong.tables[0].fetched.clear();
  EXPECT_EQ(split.Merge(0, wrong, &reply).code(), StatusCode::kInternal);
}

TEST(RequestSplit, AShardWithNothingToDoGetsNoPiece) {
  OwnedRequest whole;
  whole.Add(1).Fetch(0);
  whole.Add(2);
  const Router router(7);
  const RequestSplit split(whole.request(), {1, 1}, router, kOnePiece);
  for (std::size_t s = 0; s < 7; ++s) {
    EXPECT_EQ(split.first(s + 1) - split.first(s),
              s == router.ShardOf(0) ? 1u : 0u);
  }
}

TEST(RequestSplit, PiecesKeepTheFormatsAndTheRound) {
  OwnedRequest whole;
  OwnedRequest::Table& table = whole.Add(1);
  table.Fetch(0).Fetch(0).Fetch(0);
  table.round = 8;
  table.row_format = WireFormat::kInt8;
  table.gradient_format = WireFormat::kFloat16;
  RequestSplit split(whole.request(), {1}, Router(3), 1);
  ASSERT_EQ(split.pieces(), 2u);
  for (std::size_t p = 0; p < split.pieces(); ++p) {
    const TableExchange& part = split.Prepare(p).tables.at(0);
    EXPECT_EQ(part.round, 8u);
    EXPECT_EQ(part.row_format, WireFormat::kInt8);
    EXPECT_EQ(part.gradient_format, WireFormat::kFloat16);
  }
}

}  // namespace
}  // namespace het
