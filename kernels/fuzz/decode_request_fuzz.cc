// DecodeRequest: whatever comes is decoded or refused with DATA_LOSS. What is
// decoded says the same to protobuf, and again after it has been encoded.
//
// Input: a byte that says in which pieces it comes and how many ids it may have,
// then the message.

#include <cmath>
#include <limits>

#include "kernels/fuzz/message_bytes.h"
#include "kernels/store/check_request.h"
#include "protos/shard.pb.h"

namespace het {
namespace {

void TouchAll(const TableExchange& table) {
  Touch(table.push_ids);
  Touch(table.push_clocks);
  Touch(table.push_learning_rates);
  Touch(table.push_gradients);
  Touch(table.validate_ids);
  Touch(table.validate_clocks);
  Touch(table.fetch_ids);
}

// A shard would take it, if its table were so.
bool Fits(const TableExchange& table) {
  const std::size_t rows = table.push_ids.size();
  TableSpec spec;
  spec.name = "t";
  spec.dimension =
      rows == 0 ? 1 : std::max<std::size_t>(table.push_gradients.size() / rows, 1);
  spec.synchronous = table.round != 0;
  const Status status = CheckTableExchange(table, spec);
  if (!status.ok()) RequireRefusal(status, {StatusCode::kInvalidArgument});
  return status.ok();
}

template <typename Deltas>
void RequireIds(Span<const RowId> ids, const Deltas& deltas) {
  Require(ids.size() == static_cast<std::size_t>(deltas.size()), "as many ids");
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    last += static_cast<std::uint64_t>(deltas[static_cast<int>(i)]);
    Require(static_cast<std::uint64_t>(ids[i]) == last, "the same ids");
  }
}

template <typename Numbers>
void RequireClocks(Span<const Clock> clocks, const Numbers& numbers,
                   std::uint64_t base) {
  Require(clocks.size() == static_cast<std::size_t>(numbers.size()),
          "as many clocks");
  for (std::size_t i = 0; i < clocks.size(); ++i) {
    Require(static_cast<std::uint64_t>(clocks[i]) ==
                numbers[static_cast<int>(i)] + base,
            "the same clocks");
  }
}

void RequireSame(const TableExchange& table, const v1::TableExchange& message) {
  Require(table.table == message.table(), "the same table");
  Require(static_cast<std::uint64_t>(table.staleness) == message.staleness(),
          "the same staleness");
  Require(table.round == message.round(), "the same round");
  Require(static_cast<int>(table.row_format) == message.row_format() &&
              static_cast<int>(table.gradient_format) ==
                  message.gradient_format(),
          "the same formats");
  RequireIds(table.push_ids, message.push_id_deltas());
  RequireIds(table.validate_ids, message.validate_id_deltas());
  RequireIds(table.fetch_ids, message.fetch_id_deltas());
  RequireClocks(table.push_clocks, message.push_clocks(),
                message.push_clock_base());
  RequireClocks(table.validate_clocks, message.validate_clocks(),
                message.validate_clock_base());
  const auto& rates = message.push_learning_rates();
  const Span<const float> sent(rates.data(),
                               static_cast<std::size_t>(rates.size()));
  if (sent.size() == 1) {
    for (const float& rate : table.push_learning_rates) {
      Require(SameBits<float>({&rate, 1}, sent), "the one learning rate");
    }
  } else {
    Require(SameBits(table.push_learning_rates, sent), "the learning rates");
  }
  const std::string& gradients = message.push_gradients();
  const std::size_t count = gradients.size() / ValueBytes(table.gradient_format);
  Require(table.push_gradients.size() == count, "as many gradients");
  if (table.gradient_format == WireFormat::kFloat32 && count > 0) {
    Require(std::memcmp(table.push_gradients.data(), gradients.data(),
                        gradients.size()) == 0,
            "the same gradients");
  }
}

void RequireSame(const ExchangeRequest& request,
                 Span<const std::uint8_t> bytes) {
  v1::ExchangeRequest message;
  Require(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())),
          "protobuf reads what we read");
  Require(request.header.worker == message.worker() &&
              request.header.shard == message.shard() &&
              request.header.sequence == message.sequence(),
          "the same header");
  Require(request.tables.size() ==
              static_cast<std::size_t>(message.tables_size()),
          "as many tables");
  for (std::size_t t = 0; t < request.tables.size(); ++t) {
    RequireSame(request.tables[t], message.tables(static_cast<int>(t)));
  }
}

// A NaN stays one, of another kind perhaps. Int8 has a scale, which is chosen
// anew.
void RequireSameGradients(const TableExchange& a, const TableExchange& b) {
  Require(a.push_gradients.size() == b.push_gradients.size(),
          "as many gradients again");
  if (a.gradient_format == WireFormat::kInt8) return;
  for (std::size_t i = 0; i < a.push_gradients.size(); ++i) {
    const float one = a.push_gradients[i], other = b.push_gradients[i];
    Require(SameBits<float>({&one, 1}, {&other, 1}) ||
                (std::isnan(one) && std::isnan(other)),
            "the same gradients again");
  }
}

void RequireSame(const TableExchange& a, const TableExchange& b) {
  Require(a.table == b.table && a.staleness == b.staleness &&
              a.round == b.round && a.row_format == b.row_format &&
              a.gradient_format == b.gradient_format,
          "the same table again");
  Require(SameBits(a.push_ids, b.push_ids) &&
              SameBits(a.push_clocks, b.push_clocks) &&
              SameBits(a.validate_ids, b.validate_ids) &&
              SameBits(a.validate_clocks, b.validate_clocks) &&
              SameBits(a.fetch_ids, b.fetch_ids),
          "the same ids and clocks again");
  Require(SameBits(a.push_learning_rates, b.push_learning_rates),
          "the same learning rates again");
  RequireSameGradients(a, b);
}

void RequireSameAgain(const ExchangeRequest& request) {
  TrafficBytes kinds;
  const grpc::ByteBuffer encoded = EncodeRequest(request, &kinds);
  Require(kinds.total() == static_cast<std::int64_t>(encoded.Length()),
          "every byte is of a kind");
  DecodedRequest again;
  const Status status = DecodeRequest(encoded, &again, &kinds);
  RequireOk(status, "our own message is read");
  Require(again.request.tables.size() == request.tables.size(),
          "as many tables again");
  for (std::size_t t = 0; t < request.tables.size(); ++t) {
    RequireSame(request.tables[t], again.request.tables[t]);
  }
}

void RequireAtMost(std::size_t limit, const ExchangeRequest& request) {
  std::size_t ids = 0, clocks = 0;
  for (const TableExchange& table : request.tables) {
    ids += table.push_ids.size() + table.validate_ids.size() +
           table.fetch_ids.size();
    clocks += table.push_clocks.size() + table.validate_clocks.size();
  }
  Require(ids <= limit && clocks <= limit, "no more ids or clocks than allowed");
}

void Decode(Span<const std::uint8_t> bytes, std::uint8_t shape) {
  DecodedRequest decoded;
  TrafficBytes kinds;
  constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();
  const std::size_t limit = shape < 32 ? kNoLimit : shape / 32 * 4;
  const Status status =
      DecodeRequest(MessageOf(bytes, shape), &decoded, &kinds, limit);
  if (!status.ok()) {
    if (limit == kNoLimit) RequireRefusal(status, {StatusCode::kDataLoss});
    return RequireRefusal(
        status, {StatusCode::kDataLoss, StatusCode::kFailedPrecondition});
  }
  RequireAtMost(limit, decoded.request);
  Require(kinds.total() == static_cast<std::int64_t>(bytes.size()),
          "every byte that came is of a kind");
  RequireSame(decoded.request, bytes);
  ExchangeRequest fitting{decoded.request.header, {}};
  for (const TableExchange& table : decoded.request.tables) {
    TouchAll(table);
    if (Fits(table)) fitting.tables.push_back(table);
  }
  RequireSameAgain(fitting);
}

}  // namespace
}  // namespace het

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0) het::Decode({data + 1, size - 1}, data[0]);
  return 0;
}
