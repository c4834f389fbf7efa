// Codec: exchanges survive the wire bit for bit, and protobuf's own parser and
// serializer agree with it. (Bytes from anywhere: codec_malformed_test.cc.)

#include "kernels/rpc/codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "kernels/rpc/random_messages_fixture.h"
#include "protos/shard.pb.h"

namespace het {
namespace {

template <typename A, typename B>
void ExpectSame(const A& a, const B& b) {
  ASSERT_EQ(a.size(), b.size());
  if (a.size() == 0) return;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(*a.data())), 0);
}

void ExpectEqual(const ExchangeRequest& a, const ExchangeRequest& b) {
  EXPECT_EQ(a.header.worker, b.header.worker);
  EXPECT_EQ(a.header.shard, b.header.shard);
  EXPECT_EQ(a.header.sequence, b.header.sequence);
  ASSERT_EQ(a.tables.size(), b.tables.size());
  for (std::size_t t = 0; t < a.tables.size(); ++t) {
    EXPECT_EQ(a.tables[t].table, b.tables[t].table);
    EXPECT_EQ(a.tables[t].staleness, b.tables[t].staleness);
    ExpectSame(a.tables[t].push_ids, b.tables[t].push_ids);
    ExpectSame(a.tables[t].push_clocks, b.tables[t].push_clocks);
    ExpectSame(a.tables[t].push_learning_rates,
               b.tables[t].push_learning_rates);
    ExpectSame(a.tables[t].push_gradients, b.tables[t].push_gradients);
    ExpectSame(a.tables[t].validate_ids, b.tables[t].validate_ids);
    ExpectSame(a.tables[t].validate_clocks, b.tables[t].validate_clocks);
    ExpectSame(a.tables[t].fetch_ids, b.tables[t].fetch_ids);
    EXPECT_EQ(a.tables[t].round, b.tables[t].round);
    EXPECT_EQ(a.tables[t].row_format, b.tables[t].row_format);
    EXPECT_EQ(a.tables[t].gradient_format, b.tables[t].gradient_format);
  }
}

TEST(Codec, RequestsSurviveTheWire) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    SCOPED_TRACE(i);
    OwnedRequest request;
    Draw(random, i % 10 == 0 ? 3000 : 40, &request);
    TrafficBytes sent, received;
    const std::string bytes = Bytes(EncodeRequest(request.request(), &sent));
    EXPECT_EQ(sent.total(), static_cast<std::int64_t>(bytes.size()));
    for (const std::size_t pieces : {1, 3}) {
      DecodedRequest decoded;
      received = {};
      ASSERT_TRUE(
          DecodeRequest(Buffer(bytes, pieces), &decoded, &received).ok());
      ExpectEqual(decoded.request, request.request());
    }
    EXPECT_EQ(received.ids, sent.ids);
    EXPECT_EQ(received.clocks, sent.clocks);
    EXPECT_EQ(received.gradients, sent.gradients);
    EXPECT_EQ(received.total(), sent.total());
  }
}

std::vector<RowId> Ids(const google::protobuf::RepeatedField<std::int64_t>& deltas) {
  std::vector<RowId> ids;
  std::uint64_t id = 0;
  for (const std::int64_t delta : deltas) {
    id += static_cast<std::uint64_t>(delta);
    ids.push_back(static_cast<RowId>(id));
  }
  return ids;
}

std::vector<Clock> Clocks(
    const google::protobuf::RepeatedField<std::uint64_t>& above,
    std::uint64_t base) {
  std::vector<Clock> clocks;
  for (const std::uint64_t clock : above) {
    clocks.push_back(static_cast<Clock>(clock + base));
  }
  return clocks;
}

// What protobuf makes of the bytes, as a request.
void FromProto(const v1::ExchangeRequest& message, OwnedRequest* request) {
  request->header = {message.worker(), message.shard(), message.sequence()};
  for (const v1::TableExchange& from : message.tables()) {
    OwnedRequest::Table& to = request->Add(
        from.table(), static_cast<Staleness>(from.staleness()));
    to.push_ids = Ids(from.push_id_deltas());
    to.push_clocks = Clocks(from.push_clocks(), from.push_clock_base());
    to.push_learning_rates.assign(from.push_learning_rates().begin(),
                                  from.push_learning_rates().end());
    if (to.push_learning_rates.size() == 1) {
      to.push_learning_rates.resize(to.push_ids.size(),
                                    from.push_learning_rates(0));
    }
    to.push_gradients.resize(from.push_gradients().size() / sizeof(float));
    if (!to.push_gradients.empty()) {
      std::memcpy(to.push_gradients.data(), from.push_gradients().data(),
                  from.push_gradients().size());
    }
    to.validate_ids = Ids(from.validate_id_deltas());
    to.validate_clocks =
        Clocks(from.validate_clocks(), from.validate_clock_base());
    to.fetch_ids = Ids(from.fetch_id_deltas());
    to.round = from.round();
    to.row_format = static_cast<WireFormat>(from.row_format());
    to.gradient_format = static_cast<WireFormat>(from.gradient_format());
  }
}

TEST(Codec, ProtobufReadsOurRequestsAndWeReadItsOwn) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    SCOPED_TRACE(i);
    OwnedRequest request;
    Draw(random, i % 5 == 0 ? 9000 : 40, &request);
    TrafficBytes kinds;
    v1::ExchangeRequest message;
    ASSERT_TRUE(message.ParseFromString(
        Bytes(EncodeRequest(request.request(), &kinds))));
    OwnedRequest parsed;
    FromProto(message, &parsed);
    ExpectEqual(parsed.request(), request.request());
    DecodedRequest decoded;
    ASSERT_TRUE(
        DecodeRequest(Buffer(message.SerializeAsString()), &decoded, &kinds)
            .ok());
    ExpectEqual(decoded.request, request.request());
  }
}

// Padding stretches length prefixes: for every size of a length, at every
// alignment, the message must stay one that protobuf accepts.
TEST(Codec, ProtobufReadsLargeMessagesAtEveryAlignment) {
  for (const std::size_t floats :
       {30, 31, 32, 33, 4000, 4095, 4096, 5000, 500000, 524288, 600000}) {
    for (std::size_t shift = 0; shift < 4; ++shift) {
      SCOPED_TRACE(std::to_string(floats) + " floats, shift " +
                   std::to_string(shift));
      OwnedRequest request;
      request.header = {1, 2, std::uint64_t{1} << (7 * shift)};
      OwnedRequest::Table& table = request.Add(5, Clock{1} << (7 * shift));
      table.Push(1, 1, 1, std::vector<float>(floats, 3.5f));
      TrafficBytes kinds;
      const std::string bytes = Bytes(EncodeRequest(request.request(), &kinds));
      v1::ExchangeRequest message;
      ASSERT_TRUE(message.ParseFromString(bytes));
      OwnedRequest parsed;
      FromProto(message, &parsed);
      ExpectEqual(parsed.request(), request.request());
      DecodedRequest decoded;
      ASSERT_TRUE(DecodeRequest(Buffer(bytes), &decoded, &kinds).ok());
      ExpectEqual(decoded.request, request.request());
    }
  }
}

void ExpectEqual(const RowView& a, const RowView& b, std::size_t dimension) {
  ASSERT_EQ(a.answered(), b.answered());
  ASSERT_EQ(a.initial, b.initial);
  ASSERT_EQ(a.values == nullptr, b.values == nullptr);
  if (!a.answered()) return;
  if (!a.initial) {
    EXPECT_EQ(std::memcmp(a.values, b.values, dimension * sizeof(float)), 0);
  }
  EXPECT_EQ(a.clock, b.clock);
  EXPECT_EQ(a.step_scale, b.step_scale);
}

void ExpectEqual(const ExchangeReply& a, const ExchangeReply& b) {
  ASSERT_EQ(a.tables.size(), b.tables.size());
  for (std::size_t t = 0; t < a.tables.size(); ++t) {
    const TableReply& one = a.tables[t];
    const TableReply& two = b.tables[t];
    ASSERT_EQ(one.validated.size(), two.validated.size());
    ASSERT_EQ(one.fetched.size(), two.fetched.size());
    for (std::size_t i = 0; i < one.validated.size(); ++i) {
      ExpectEqual(one.validated[i], two.validated[i], one.dimension);
    }
    for (std::size_t i = 0; i < one.fetched.size(); ++i) {
      ExpectEqual(one.fetched[i], two.fetched[i], one.dimension);
    }
  }
}

TEST(Codec, RepliesSurviveTheWireAndProtobuf) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i) {
    SCOPED_TRACE(i);
    const Reply drawn = DrawReply(random, i % 10 == 0 ? 3000 : 40);
    TrafficBytes sent, received;
    const std::string bytes = Bytes(EncodeReply(drawn.reply, drawn.asked, &sent));
    EXPECT_EQ(sent.total(), static_cast<std::int64_t>(bytes.size()));
    ExchangeReply decoded;
    ASSERT_TRUE(
        DecodeReply(Buffer(bytes, 1 + i % 3), drawn.asked, &decoded, &received)
            .ok());
    ExpectEqual(drawn.reply, decoded);
    EXPECT_EQ(received.rows, sent.rows);
    EXPECT_EQ(received.clocks, sent.clocks);
    EXPECT_EQ(received.total(), sent.total());

    v1::ExchangeReply message;
    ASSERT_TRUE(message.ParseFromString(bytes));
    ASSERT_EQ(message.tables_size(), static_cast<int>(drawn.asked.size()));
    for (int t = 0; t < message.tables_size(); ++t) {
      const TableReply& table = drawn.reply.tables[static_cast<std::size_t>(t)];
      int rows = 0;
      for (const RowView& row : table.validated) rows += row.values != nullptr;
      for (const RowView& row : table.fetched) rows += row.values != nullptr;
      EXPECT_EQ(message.tables(t).clocks_size(), rows);
      EXPECT_EQ(message.tables(t).rows().size(),
                static_cast<std::size_t>(rows) * table.dimension * 4);
    }
    ExchangeReply again;
    ASSERT_TRUE(DecodeReply(Buffer(message.SerializeAsString()), drawn.asked,
                            &again, &received)
                    .ok());
    ExpectEqual(drawn.reply, again);
  }
}

TEST(Codec, RowsAreNotCopiedOutOfAMessageInOnePiece) {
  ExchangeReply reply;
  const std::vector<float> values(64, 1.5f);
  reply.tables.push_back({64, {}, {RowView{values.data(), 3, 1}}});
  TrafficBytes kinds;
  const grpc::ByteBuffer buffer = EncodeReply(reply, {{0, 1}}, &kinds);
  grpc::Slice slice;
  ASSERT_TRUE(buffer.TrySingleSlice(&slice).ok());
  ExchangeReply decoded;
  ASSERT_TRUE(DecodeReply(buffer, {{0, 1}}, &decoded, &kinds).ok());
  const auto* row =
      reinterpret_cast<const std::uint8_t*>(decoded.tables[0].fetched[0].values);
  EXPECT_GE(row, slice.begin());
  EXPECT_LT(row, slice.end());
}

TEST(Codec, ARateForAllIsSentOnce) {
  OwnedRequest same, different;
  OwnedRequest::Table& a = same.Add(1);
  OwnedRequest::Table& b = different.Add(1);
  for (int i = 0; i < 100; ++i) {
    a.Push(i, 1, 0.5f, {1});
    b.Push(i, 1, static_cast<float>(i), {1});
  }
  TrafficBytes small, large;
  EncodeRequest(same.request(), &small);
  EncodeRequest(different.request(), &large);
  EXPECT_EQ(large.gradients - small.gradients, 99 * 4);
}

}  // namespace
}  // namespace het
