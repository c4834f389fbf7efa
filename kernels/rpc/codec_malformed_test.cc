// Codec: no bytes whatever make it fail otherwise than by a status.

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "kernels/rpc/random_messages_fixture.h"
#include "protos/shard.pb.h"

namespace het {
namespace {

// Protobuf also reads repeated numbers that are not packed; we say that we do
// not, and never take them for nothing.
TEST(Codec, FieldsOfAnotherWireTypeAreRefused) {
  std::string table;
  table += "\x09" + std::string(8, '\1');      // table, fixed64
  table += "\x48\x02";                        // fetch_id_deltas, not packed
  std::string bytes = "\x22";
  bytes += static_cast<char>(table.size());
  bytes += table;
  v1::ExchangeRequest message;
  ASSERT_TRUE(message.ParseFromString(bytes));
  ASSERT_EQ(message.tables(0).fetch_id_deltas_size(), 1);
  DecodedRequest decoded;
  TrafficBytes kinds;
  const Status status = DecodeRequest(Buffer(bytes), &decoded, &kinds);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("wire type"), std::string::npos);
}

// Protobuf does not read them, either. A tag of 0 as the last byte looks like the
// end; of a tag of eight bytes 32 bits are those of a good one; a length may be
// padded, but not to six bytes.
TEST(Codec, TagsAndLengthsThatCannotBeAreRefused) {
  for (const std::string& bytes :
       {std::string("\0", 1), std::string("\x18\x01\0", 3),
        std::string("\x80\0", 2), std::string("\x02\0", 2),
        std::string("\x01\x02\x03\x04\x05\x06\x07\x08\x09"),
        std::string("\xe2\xe2\xe2\xe2\xe2\xe2\xe2\x32\0", 9),
        std::string("\x7a\x80\x80\x80\x80\x80\0", 7)}) {
    ASSERT_FALSE(v1::ExchangeRequest().ParseFromString(bytes));
    DecodedRequest decoded;
    TrafficBytes kinds;
    EXPECT_EQ(DecodeRequest(Buffer(bytes), &decoded, &kinds).code(),
              StatusCode::kDataLoss);
    ASSERT_FALSE(v1::ExchangeReply().ParseFromString(bytes));
    ExchangeReply reply;
    EXPECT_EQ(DecodeReply(Buffer(bytes), {}, &reply, &kinds).code(),
              StatusCode::kDataLoss);
  }
}

TEST(Codec, RepliesThatDoNotFitTheRequestAreMalformed) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 300; ++i) {
    Reply drawn = DrawReply(random, 10);
    if (drawn.asked.empty()) continue;
    TrafficBytes kinds;
    const grpc::ByteBuffer buffer = EncodeReply(drawn.reply, drawn.asked, &kinds);
    const std::size_t t = random() % drawn.asked.size();
    const auto decodes = [&](const std::vector<AskedRows>& asked) {
      ExchangeReply reply;
      return DecodeReply(buffer, asked, &reply, &kinds);
    };
    std::vector<AskedRows> asked = drawn.asked;
    ++asked[t].fetched;
    EXPECT_EQ(decodes(asked).code(), StatusCode::kDataLoss);
    asked = drawn.asked;
    asked.push_back({});
    EXPECT_EQ(decodes(asked).code(), StatusCode::kDataLoss);
    asked = drawn.asked;
    asked.pop_back();
    EXPECT_EQ(decodes(asked).code(), StatusCode::kDataLoss);
  }
}

TEST(Codec, NegativeClocksInAReplyAreMalformed) {
  const float value = 1;
  ExchangeReply reply;
  reply.tables.resize(1);
  reply.tables[0].dimension = 1;
  reply.tables[0].fetched = {RowView{&value, -1, 1}};
  TrafficBytes kinds;
  ExchangeReply decoded;
  const std::vector<AskedRows> asked = {{0, 1}};
  const Status status = DecodeReply(EncodeReply(reply, asked, &kinds), asked,
                                    &decoded, &kinds);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("negative"), std::string::npos);
}

TEST(Codec, TooManyTablesAreRefused) {
  std::string bytes;
  for (int i = 0; i < 65536; ++i) bytes += std::string("\x22\x00", 2);
  DecodedRequest decoded, more;
  TrafficBytes kinds;
  EXPECT_TRUE(DecodeRequest(Buffer(bytes), &decoded, &kinds).ok());
  bytes += std::string("\x22\x00", 2);
  EXPECT_EQ(DecodeRequest(Buffer(bytes), &more, &kinds).code(),
            StatusCode::kDataLoss);
}

// Before memory is taken for them: eight bytes for each byte of the message.
TEST(Codec, MoreIdsThanAShardTakesAreRefused) {
  const auto status_of = [](std::size_t fetched, std::size_t pushed,
                            std::size_t max_ids) {
    OwnedRequest request;
    OwnedRequest::Table& table = request.Add(1);
    for (std::size_t i = 0; i < fetched; ++i) table.Fetch(static_cast<RowId>(i));
    for (std::size_t i = 0; i < pushed; ++i) {
      request.Add(2).Push(static_cast<RowId>(i), 1, 1, {1});
    }
    TrafficBytes kinds;
    DecodedRequest decoded;
    return DecodeRequest(EncodeRequest(request.request(), &kinds), &decoded,
                         &kinds, max_ids);
  };
  EXPECT_TRUE(status_of(600, 400, 1000).ok());
  const Status status = status_of(600, 401, 1000);  // over all tables
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("1000"), std::string::npos);
  EXPECT_NE(status.message().find("--max-ids"), std::string::npos);
  EXPECT_FALSE(status_of(1001, 0, 1000).ok());
}

// Decodes as both kinds and touches everything that was decoded.
void Devour(const std::string& bytes, const std::vector<AskedRows>& asked) {
  DecodedRequest request;
  TrafficBytes kinds;
  double sum = 0;
  if (DecodeRequest(Buffer(bytes), &request, &kinds).ok()) {
    for (const TableExchange& table : request.request.tables) {
      for (const RowId id : table.push_ids) sum += static_cast<double>(id);
      for (const float value : table.push_gradients) sum += value;
      for (const float value : table.push_learning_rates) sum += value;
      for (const Clock clock : table.validate_clocks) {
        sum += static_cast<double>(clock);
      }
    }
  }
  ExchangeReply reply;
  if (DecodeReply(Buffer(bytes), asked, &reply, &kinds).ok()) {
    ASSERT_EQ(reply.tables.size(), asked.size());
    for (std::size_t t = 0; t < asked.size(); ++t) {
      const TableReply& table = reply.tables[t];
      ASSERT_EQ(table.fetched.size(), asked[t].fetched);
      ASSERT_EQ(table.validated.size(), asked[t].validated);
      for (const RowView& row : table.fetched) {
        ASSERT_TRUE(row.answered());
        if (row.initial) continue;
        for (std::size_t d = 0; d < table.dimension; ++d) sum += row.values[d];
      }
    }
  }
  volatile double used = sum;
  (void)used;
}

TEST(Codec, ArraysThatCannotBeAreRefused) {
  const auto refused = [](const v1::TableExchange& table, const char* text) {
    v1::ExchangeRequest message;
    *message.add_tables() = table;
    DecodedRequest decoded;
    TrafficBytes kinds;
    const Status status =
        DecodeRequest(Buffer(message.SerializeAsString()), &decoded, &kinds);
    EXPECT_EQ(status.code(), StatusCode::kDataLoss);
    EXPECT_NE(status.message().find(text), std::string::npos)
        << status.ToString();
  };
  v1::TableExchange table;
  table.set_row_format(static_cast<v1::WireFormat>(4));
  refused(table, "a format that shard.proto does not have");
  table.Clear();
  table.add_push_id_deltas(1);
  table.set_push_gradients("abc");
  refused(table, "torn end");
  table.set_gradient_format(v1::BFLOAT16);
  refused(table, "torn end");
  table.set_gradient_format(v1::INT8);
  refused(table, "one scale per int8 row");
  table.add_push_gradient_scales(1);
  table.add_push_gradient_scales(1);
  refused(table, "one scale per int8 row");
  table.add_push_id_deltas(1);
  refused(table, "the last row is shorter");
  // An id of eleven bytes, and one that is cut off.
  for (const std::string& ids : {std::string(10, '\xff') + "\x01",
                                 std::string("\x02\x80")}) {
    std::string bytes = "\x1a";
    bytes += static_cast<char>(ids.size());
    bytes += ids;
    DecodedRequest decoded;
    TrafficBytes kinds;
    EXPECT_EQ(DecodeRequest(Buffer("\x22" + std::string(1, static_cast<char>(
                                                              bytes.size())) +
                                   bytes),
                            &decoded, &kinds)
                  .code(),
              StatusCode::kDataLoss);
  }
}

TEST(Codec, TruncatedMessagesAreErrorsOrShorter) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 10; ++i) {
    OwnedRequest request;
    Draw(random, 8, &request);
    TrafficBytes kinds;
    const std::string bytes = Bytes(EncodeRequest(request.request(), &kinds));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      Devour(bytes.substr(0, size), {{2, 2}});
    }
    const Reply drawn = DrawReply(random, 8);
    const std::string answer = Bytes(EncodeReply(drawn.reply, drawn.asked, &kinds));
    for (std::size_t size = 0; size < answer.size(); ++size) {
      Devour(answer.substr(0, size), drawn.asked);
    }
  }
}

TEST(Codec, ChangedAndRandomBytesNeverDoHarm) {
  for (std::uint64_t seed = 1; seed <= 6000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::string bytes;
    std::vector<AskedRows> asked = {{3, 4}};
    TrafficBytes kinds;
    if (seed % 3 == 0) {
      bytes.resize(random() % 200);
      for (char& byte : bytes) byte = static_cast<char>(random());
    } else if (seed % 3 == 1) {
      OwnedRequest request;
      Draw(random, 10, &request);
      for (OwnedRequest::Table& table : request.tables) {
        table.gradient_format = static_cast<WireFormat>(random() % kWireFormats);
      }
      bytes = Bytes(EncodeRequest(request.request(), &kinds));
    } else {
      Reply drawn = DrawReply(random, 10);
      for (AskedRows& table : drawn.asked) {
        table.row_format = static_cast<WireFormat>(random() % kWireFormats);
      }
      bytes = Bytes(EncodeReply(drawn.reply, drawn.asked, &kinds));
      asked = drawn.asked;
    }
    for (std::size_t i = random() % 6; i > 0 && !bytes.empty(); --i) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    // Whatever the rows are taken for.
    const auto format = static_cast<WireFormat>(random() % kWireFormats);
    for (AskedRows& table : asked) table.row_format = format;
    Devour(bytes, asked);
  }
}

}  // namespace
}  // namespace het
