// DecodeReply: whatever comes is decoded or refused with DATA_LOSS, whatever was
// asked. What is decoded answers every question, and says the same again after
// it has been encoded.
//
// Input: a byte that says in which pieces it comes; how many tables were asked
// (modulo 4); for each how many rows were to be validated, how many fetched, and
// the format; then the message.

#include <cmath>

#include "kernels/fuzz/message_bytes.h"
#include "protos/shard.pb.h"

namespace het {
namespace {

void RequireAnswers(const TableReply& table, const AskedRows& asked) {
  Require(table.validated.size() == asked.validated &&
              table.fetched.size() == asked.fetched,
          "there is an answer for every row");
  const auto touch = [&](const RowView& row) {
    Require(row.initial == (row.values == nullptr),
            "a row has values unless it is initial");
    if (row.initial) return;
    Require(row.clock >= 0, "no clock is negative");
    Require(table.dimension > 0, "a row has a dimension");
    Touch(Span<const float>(row.values, table.dimension));
  };
  for (const RowView& row : table.validated) {
    if (row.answered()) touch(row);
  }
  for (const RowView& row : table.fetched) {
    Require(row.answered(), "a fetched row is answered");
    touch(row);
  }
}

bool Same(float a, float b) {
  return SameBits<float>({&a, 1}, {&b, 1}) || (std::isnan(a) && std::isnan(b));
}

// Int8 has a scale, which is chosen anew; every format but float32 has step
// scales of its own precision.
void RequireSame(const RowView& a, const RowView& b, std::size_t dimension,
                 WireFormat format) {
  Require(a.initial == b.initial && a.answered() == b.answered(),
          "the same rows again");
  if (!a.answered()) return;
  if (a.initial) {
    Require(Same(a.step_scale, b.step_scale), "the initial step scale again");
    return;
  }
  Require(a.clock == b.clock, "the same clocks again");
  if (format == WireFormat::kFloat32) {
    Require(Same(a.step_scale, b.step_scale), "the same step scales again");
  }
  Touch(Span<const float>(b.values, dimension));
  if (format == WireFormat::kInt8) return;
  for (std::size_t d = 0; d < dimension; ++d) {
    Require(Same(a.values[d], b.values[d]), "the same values again");
  }
}

void RequireSameAgain(const ExchangeReply& reply,
                      const std::vector<AskedRows>& asked) {
  TrafficBytes kinds;
  const grpc::ByteBuffer encoded = EncodeReply(reply, asked, &kinds);
  Require(kinds.total() == static_cast<std::int64_t>(encoded.Length()),
          "every byte is of a kind");
  ExchangeReply again;
  const Status status = DecodeReply(encoded, asked, &again, &kinds);
  RequireOk(status, "our own message is read");
  for (std::size_t t = 0; t < asked.size(); ++t) {
    const TableReply& one = reply.tables[t];
    const TableReply& other = again.tables[t];
    RequireAnswers(other, asked[t]);
    Require(one.dimension == other.dimension, "the same dimension again");
    for (std::size_t i = 0; i < asked[t].validated; ++i) {
      RequireSame(one.validated[i], other.validated[i], one.dimension,
                  asked[t].row_format);
    }
    for (std::size_t i = 0; i < asked[t].fetched; ++i) {
      RequireSame(one.fetched[i], other.fetched[i], one.dimension,
                  asked[t].row_format);
    }
  }
}

void Decode(Span<const std::uint8_t> bytes, std::uint8_t shape,
            const std::vector<AskedRows>& asked) {
  ExchangeReply reply;
  TrafficBytes kinds;
  const Status status =
      DecodeReply(MessageOf(bytes, shape), asked, &reply, &kinds);
  if (!status.ok()) return RequireRefusal(status, {StatusCode::kDataLoss});
  Require(kinds.total() == static_cast<std::int64_t>(bytes.size()),
          "every byte that came is of a kind");
  v1::ExchangeReply message;
  Require(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())),
          "protobuf reads what we read");
  Require(reply.tables.size() == asked.size() &&
              static_cast<std::size_t>(message.tables_size()) == asked.size(),
          "every table is answered");
  for (std::size_t t = 0; t < asked.size(); ++t) {
    RequireAnswers(reply.tables[t], asked[t]);
  }
  RequireSameAgain(reply, asked);
}

}  // namespace
}  // namespace het

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t tables = data[1] % 4;
  const std::size_t message = 2 + 3 * tables;
  if (size < message) return 0;
  std::vector<het::AskedRows> asked(tables);
  for (std::size_t t = 0; t < tables; ++t) {
    const std::uint8_t* of_table = data + 2 + 3 * t;
    asked[t] = {of_table[0], of_table[1],
                static_cast<het::WireFormat>(of_table[2] % het::kWireFormats)};
  }
  het::Decode({data + message, size - message}, data[0], asked);
  return 0;
}
