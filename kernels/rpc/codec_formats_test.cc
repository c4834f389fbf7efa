// Codec: rows and gradients in the formats that are not exact, and rows that
// nobody has pushed to. (How far off a format is: row_formats_test.cc.)

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/rpc/random_messages_fixture.h"
#include "kernels/rpc/row_formats.h"
#include "protos/shard.pb.h"

namespace het {
namespace {

constexpr WireFormat kFormats[] = {WireFormat::kFloat32, WireFormat::kBfloat16,
                                   WireFormat::kFloat16, WireFormat::kInt8};
// The largest error in units of the row's largest magnitude; twice for random
// rounding.
double ErrorOf(WireFormat format) {
  switch (format) {
    case WireFormat::kFloat32: return 0;
    case WireFormat::kBfloat16: return 0x1p-8;
    case WireFormat::kFloat16: return 0x1p-11;
    case WireFormat::kInt8: return 0.5001 / 127;
  }
  return 0;
}

std::vector<float> DrawRow(std::mt19937_64& random, std::size_t dimension) {
  std::vector<float> row(dimension);
  for (float& value : row) {
    value = static_cast<float>(static_cast<double>(random() % 2000) - 1000) / 700;
  }
  return row;
}

class CodecFormats : public testing::TestWithParam<WireFormat> {};

INSTANTIATE_TEST_SUITE_P(Formats, CodecFormats, testing::ValuesIn(kFormats),
                         [](const auto& info) {
                           return std::string(ToString(info.param));
                         });

TEST_P(CodecFormats, GradientsArriveWithinTheFormatsError) {
  std::mt19937_64 random(1);
  for (const std::size_t dimension : {1, 3, 16, 37}) {
    OwnedRequest request;
    request.header = {5, 6, 7};
    OwnedRequest::Table& table = request.Add(9);
    table.gradient_format = GetParam();
    table.row_format = GetParam();
    for (RowId id = 0; id < 50; ++id) {
      table.Push(id, 1, 1, DrawRow(random, dimension));
    }
    TrafficBytes sent, received;
    const std::string bytes = Bytes(EncodeRequest(request.request(), &sent));
    // Sent again, it is the same message.
    TrafficBytes again;
    EXPECT_EQ(bytes, Bytes(EncodeRequest(request.request(), &again)));
    DecodedRequest decoded;
    ASSERT_TRUE(DecodeRequest(Buffer(bytes), &decoded, &received).ok());
    EXPECT_EQ(received.gradients, sent.gradients);
    EXPECT_EQ(received.total(), sent.total());
    const std::int64_t scales = GetParam() == WireFormat::kInt8 ? 50 * 4 : 0;
    EXPECT_EQ(sent.gradients,
              static_cast<std::int64_t>(50 * dimension *
                                        ValueBytes(GetParam())) +
                  scales + 4);
    const TableExchange& got = decoded.request.tables[0];
    EXPECT_EQ(got.row_format, GetParam());
    ASSERT_EQ(got.push_gradients.size(), 50 * dimension);
    for (std::size_t i = 0; i < 50 * dimension; ++i) {
      ASSERT_NEAR(got.push_gradients[i], table.push_gradients[i],
                  2 * ErrorOf(GetParam()) * 2);
    }
    // Another exchange rounds otherwise. (Of an int8 row of one value, that one
    // is the largest, and exact.)
    if (dimension == 1 && GetParam() == WireFormat::kInt8) continue;
    request.header.sequence = 8;
    DecodedRequest other;
    ASSERT_TRUE(DecodeRequest(EncodeRequest(request.request(), &again), &other,
                              &received)
                    .ok());
    EXPECT_EQ(std::memcmp(other.request.tables[0].push_gradients.data(),
                          got.push_gradients.data(),
                          50 * dimension * sizeof(float)) == 0,
              GetParam() == WireFormat::kFloat32);
  }
}

TEST_P(CodecFormats, RowsArriveAsTheFormatRoundsThem) {
  std::mt19937_64 random(2);
  for (const std::size_t dimension : {1, 5, 16}) {
    ExchangeReply reply;
    reply.tables.emplace_back();
    TableReply& table = reply.tables[0];
    table.dimension = dimension;
    std::vector<std::vector<float>> rows;
    for (int i = 0; i < 40; ++i) rows.push_back(DrawRow(random, dimension));
    for (std::size_t i = 0; i < 40; ++i) {
      RowView row{rows[i].data(), static_cast<Clock>(1000 + i), 0.3f};
      if (i % 5 == 0) row = {nullptr, 0, 0.7f, true};
      if (i < 15) {
        table.validated.push_back(i % 3 == 0 ? RowView{} : row);
      } else {
        table.fetched.push_back(row);
      }
    }
    const std::vector<AskedRows> asked = {{15, 25, GetParam()}};
    TrafficBytes sent, received;
    const std::string bytes = Bytes(EncodeReply(reply, asked, &sent));
    ExchangeReply decoded;
    ASSERT_TRUE(DecodeReply(Buffer(bytes), asked, &decoded, &received).ok());
    EXPECT_EQ(received.rows, sent.rows);
    EXPECT_EQ(received.clocks, sent.clocks);
    EXPECT_EQ(received.total(), sent.total());
    const TableReply& got = decoded.tables[0];
    EXPECT_EQ(got.dimension, dimension);
    const auto check = [&](const RowView& a, const RowView& b) {
      ASSERT_EQ(a.answered(), b.answered());
      ASSERT_EQ(a.initial, b.initial);
      if (!a.answered()) return;
      EXPECT_EQ(a.clock, b.clock);
      if (a.initial) {
        EXPECT_EQ(b.values, nullptr);
        EXPECT_EQ(b.step_scale, a.step_scale);
        return;
      }
      const bool exact = GetParam() == WireFormat::kFloat32;
      EXPECT_NEAR(b.step_scale, a.step_scale, exact ? 0 : 0.3 * 0x1p-8);
      for (std::size_t d = 0; d < dimension; ++d) {
        ASSERT_NEAR(b.values[d], a.values[d], 2 * ErrorOf(GetParam()));
      }
    };
    for (std::size_t i = 0; i < 15; ++i) {
      check(table.validated[i], got.validated[i]);
    }
    for (std::size_t i = 0; i < 25; ++i) check(table.fetched[i], got.fetched[i]);

    // A client that knows the proto alone finds the same.
    v1::ExchangeReply message;
    ASSERT_TRUE(message.ParseFromString(bytes));
    const v1::TableReply& fields = message.tables(0);
    const auto carried = static_cast<std::size_t>(fields.clocks_size());
    EXPECT_EQ(fields.rows().size(),
              carried * dimension * ValueBytes(GetParam()));
    EXPECT_EQ(static_cast<std::size_t>(fields.row_scales_size()),
              GetParam() == WireFormat::kInt8 ? carried : 0);
    EXPECT_FLOAT_EQ(fields.initial_step_scale(), 0.7f);
    EXPECT_EQ(fields.clocks(0) + fields.clock_base(), 1001u);
  }
}

TEST_P(CodecFormats, NanAndInfinityAreStillSeen) {
  OwnedRequest request;
  OwnedRequest::Table& table = request.Add(9);
  table.gradient_format = GetParam();
  table.Push(1, 1, 1, {1, std::nanf("")}).Push(2, 1, 1, {-HUGE_VALF, 1});
  table.Push(3, 1, 1, {2, 2});
  TrafficBytes kinds;
  DecodedRequest decoded;
  ASSERT_TRUE(DecodeRequest(EncodeRequest(request.request(), &kinds), &decoded,
                            &kinds)
                  .ok());
  const Span<const float> got = decoded.request.tables[0].push_gradients;
  EXPECT_TRUE(std::isnan(got[1]));
  EXPECT_FALSE(std::isfinite(got[2]));
  EXPECT_EQ(got[4], 2);
  EXPECT_EQ(got[5], 2);
}

TEST(CodecFormatsInitial, RowsNobodyHasPushedToTakeABit) {
  ExchangeReply reply;
  reply.tables.emplace_back();
  reply.tables[0].dimension = 128;
  reply.tables[0].fetched.assign(800, RowView{nullptr, 0, 1, true});
  const std::vector<AskedRows> asked = {{0, 800}};
  TrafficBytes kinds;
  EXPECT_LT(EncodeReply(reply, asked, &kinds).Length(), 120u);
  EXPECT_EQ(kinds.rows, 100);
  EXPECT_EQ(kinds.clocks, 0);
}

}  // namespace
}  // namespace het
