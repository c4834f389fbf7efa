// Codec: large rows and gradients that somebody shares are sent from where they
// lie, as the very bytes that a copy of them would be.

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/rpc/codec.h"
#include "kernels/rpc/random_messages_fixture.h"

namespace het {
namespace {

constexpr std::size_t kDimension = 16;
constexpr std::size_t kRows = 1000;

std::shared_ptr<std::vector<float>> Values() {
  auto values = std::make_shared<std::vector<float>>(kRows * kDimension);
  std::iota(values->begin(), values->end(), 1.0f);
  return values;
}

bool Refers(const grpc::ByteBuffer& message, const float* values) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  for (const grpc::Slice& slice : slices) {
    if (reinterpret_cast<const float*>(slice.begin()) == values) return true;
  }
  return false;
}

grpc::ByteBuffer Encode(const ExchangeReply& reply) {
  TrafficBytes kinds;
  grpc::ByteBuffer message = EncodeReply(
      reply, std::vector<AskedRows>(reply.tables.size(), {0, kRows}), &kinds);
  EXPECT_EQ(kinds.total(), static_cast<std::int64_t>(message.Length()));
  return message;
}

TEST(CodecReferences, GradientsWithAnOwnerAreNotCopied) {
  auto values = Values();
  const float* const place = values->data();
  std::vector<RowId> ids(kRows);
  std::iota(ids.begin(), ids.end(), 5);
  const std::vector<Clock> clocks(kRows, 1);
  const std::vector<float> rates(kRows, 0.5f);
  ExchangeRequest request;
  request.tables.resize(2);
  for (TableExchange& table : request.tables) {
    table.push_ids = ids;
    table.push_clocks = clocks;
    table.push_learning_rates = rates;
    table.push_gradients = *values;
  }
  TrafficBytes kinds;
  const grpc::ByteBuffer copied = EncodeRequest(request, &kinds);
  EXPECT_FALSE(Refers(copied, place));
  request.tables[0].gradients_owner = values;
  TrafficBytes same;
  const grpc::ByteBuffer referring = EncodeRequest(request, &same);
  EXPECT_TRUE(Refers(referring, place));
  EXPECT_EQ(same.gradients, kinds.gradients);
  EXPECT_EQ(same.total(), static_cast<std::int64_t>(referring.Length()));

  // They live as long as the message, whoever else lets go of them.
  request = {};
  const std::weak_ptr<std::vector<float>> life = values;
  values.reset();
  EXPECT_FALSE(life.expired());
  EXPECT_EQ(Bytes(referring), Bytes(copied));
}

TEST(CodecReferences, RowsOfAReplyThatFollowOneAnotherAreNotCopied) {
  auto values = Values();
  const float* const place = values->data();
  ExchangeReply reply;
  reply.tables.resize(2);
  for (TableReply& table : reply.tables) {
    table.dimension = kDimension;
    for (std::size_t i = 0; i < kRows; ++i) {
      table.fetched.push_back({&(*values)[i * kDimension], 3, 1});
    }
  }
  const grpc::ByteBuffer copied = Encode(reply);
  EXPECT_FALSE(Refers(copied, place));
  reply.buffers.push_back(values);
  const grpc::ByteBuffer referring = Encode(reply);
  EXPECT_TRUE(Refers(referring, place));
  // A hole is left out, and there are two pieces.
  reply.tables[0].fetched[500] = {nullptr, 0, 1, true};
  const grpc::ByteBuffer pieces = Encode(reply);
  EXPECT_TRUE(Refers(pieces, place));
  EXPECT_TRUE(Refers(pieces, place + 501 * kDimension));
  reply.buffers.clear();
  EXPECT_EQ(Bytes(pieces), Bytes(Encode(reply)));

  reply = {};
  values.reset();
  EXPECT_EQ(Bytes(referring), Bytes(copied));
}

TEST(CodecReferences, ScatteredRowsAreCopied) {
  const auto values = Values();
  ExchangeReply reply;
  reply.tables.resize(1);
  reply.tables[0].dimension = kDimension;
  for (std::size_t i = kRows; i > 0; --i) {
    reply.tables[0].fetched.push_back({&(*values)[(i - 1) * kDimension], 3, 1});
  }
  reply.buffers.push_back(values);
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(Encode(reply).Dump(&slices).ok());
  EXPECT_EQ(slices.size(), 1u);
}

}  // namespace
}  // namespace het
