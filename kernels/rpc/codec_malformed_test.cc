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
  table += "\x49" + std::string(8, '\2');      // fetch_ids, not packed
  std::string bytes = "\x22";
  bytes += static_cast<char>(table.size());
  bytes += table;
  v1::ExchangeRequest message;
  ASSERT_TRUE(message.ParseFromString(bytes));
  ASSERT_EQ(message.tables(0).fetch_ids_size(), 1);
  DecodedRequest decoded;
  TrafficBytes kinds;
  const Status status = DecodeRequest(Buffer(bytes), &decoded, &kinds);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("wire type"), std::string::npos);
}

TEST(Codec, RepliesThatDoNotFitTheRequestAreMalformed) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 300; ++i) {
    Reply drawn = DrawReply(random, 10);
    if (drawn.sizes.empty()) continue;
    TrafficBytes kinds;
    const grpc::ByteBuffer buffer = EncodeReply(drawn.reply, &kinds);
    const std::size_t t = random() % drawn.sizes.size();
    const auto decodes = [&](const std::vector<ReplySize>& sizes) {
      ExchangeReply reply;
      return DecodeReply(buffer, sizes, &reply, &kinds);
    };
    std::vector<ReplySize> sizes = drawn.sizes;
    ++sizes[t].fetched;
    EXPECT_EQ(decodes(sizes).code(), StatusCode::kDataLoss);
    sizes = drawn.sizes;
    sizes.push_back({});
    EXPECT_EQ(decodes(sizes).code(), StatusCode::kDataLoss);
    sizes = drawn.sizes;
    sizes.pop_back();
    EXPECT_EQ(decodes(sizes).code(), StatusCode::kDataLoss);
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
  const Status status =
      DecodeReply(EncodeReply(reply, &kinds), {{0, 1}}, &decoded, &kinds);
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

// Decodes as both kinds and touches everything that was decoded.
void Devour(const std::string& bytes, const std::vector<ReplySize>& sizes) {
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
  if (DecodeReply(Buffer(bytes), sizes, &reply, &kinds).ok()) {
    ASSERT_EQ(reply.tables.size(), sizes.size());
    for (std::size_t t = 0; t < sizes.size(); ++t) {
      const TableReply& table = reply.tables[t];
      ASSERT_EQ(table.fetched.size(), sizes[t].fetched);
      ASSERT_EQ(table.validated.size(), sizes[t].validated);
      for (const RowView& row : table.fetched) {
        for (std::size_t d = 0; d < table.dimension; ++d) sum += row.values[d];
      }
    }
  }
  volatile double used = sum;
  (void)used;
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
    const std::string answer = Bytes(EncodeReply(drawn.reply, &kinds));
    for (std::size_t size = 0; size < answer.size(); ++size) {
      Devour(answer.substr(0, size), drawn.sizes);
    }
  }
}

TEST(Codec, ChangedAndRandomBytesNeverDoHarm) {
  for (std::uint64_t seed = 1; seed <= 6000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::string bytes;
    std::vector<ReplySize> sizes = {{3, 4}};
    TrafficBytes kinds;
    if (seed % 3 == 0) {
      bytes.resize(random() % 200);
      for (char& byte : bytes) byte = static_cast<char>(random());
    } else if (seed % 3 == 1) {
      OwnedRequest request;
      Draw(random, 10, &request);
      bytes = Bytes(EncodeRequest(request.request(), &kinds));
    } else {
      const Reply drawn = DrawReply(random, 10);
      bytes = Bytes(EncodeReply(drawn.reply, &kinds));
      sizes = drawn.sizes;
    }
    for (std::size_t i = random() % 6; i > 0 && !bytes.empty(); --i) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    Devour(bytes, sizes);
  }
}

}  // namespace
}  // namespace het
