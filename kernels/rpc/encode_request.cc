#include <algorithm>
#include <cstring>

#include "kernels/rpc/codec.h"
#include "kernels/rpc/message_parts.h"
#include "kernels/rpc/row_formats.h"

namespace het {
namespace {

struct RequestPlan {
  explicit RequestPlan(const TableExchange& table)
      : push_ids(PackedIdsSize(table.push_ids)),
        validate_ids(PackedIdsSize(table.validate_ids)),
        fetch_ids(PackedIdsSize(table.fetch_ids)),
        push_clocks(MeasureClocks(table.push_clocks)),
        validate_clocks(MeasureClocks(table.validate_clocks)),
        rates(table.push_learning_rates) {
    if (!rates.empty() &&
        std::all_of(rates.begin(), rates.end(),
                    [&](float rate) { return rate == rates[0]; })) {
      rates = rates.subspan(0, 1);
    }
  }

  std::size_t push_ids, validate_ids, fetch_ids;
  PackedClocks push_clocks, validate_clocks;
  Span<const float> rates;
  std::vector<float> scales;         // of int8 gradients
  std::vector<std::uint8_t> steps;  // int8 gradients
};

// Int8 gradients are converted when planning, because their scales stand in a
// field of their own.
void PlanInt8(const TableExchange& table, const RoundingBits& bits,
              RequestPlan* plan) {
  const std::size_t rows = table.push_ids.size();
  const Span<const float> gradients = table.push_gradients;
  // What does not fit together is refused by the shard, in any format.
  if (rows == 0 || gradients.size() % rows != 0) return;
  const std::size_t dimension = gradients.size() / rows;
  plan->scales.resize(rows);
  plan->steps.resize(gradients.size());
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t at = i * dimension;
    plan->scales[i] =
        ToInt8(&gradients[at], dimension, bits, static_cast<std::uint32_t>(at),
               &plan->steps[at]);
  }
}

void WriteGradients(MessageWriter& out, const TableExchange& table,
                    const RoundingBits& bits, const RequestPlan& plan,
                    TrafficBytes* bytes) {
  const Span<const float> values = table.push_gradients;
  const WireFormat format = table.gradient_format;
  const std::size_t size = format == WireFormat::kInt8
                               ? plan.steps.size()
                               : values.size() * ValueBytes(format);
  if (format == WireFormat::kFloat32 && table.gradients_owner != nullptr &&
      size >= MessageWriter::kLeastReference) {
    out.AlignedHeader(6, size);
    Count(out, &bytes->gradients,
          [&] { out.Refer(values.data(), size, table.gradients_owner); });
    return;
  }
  WriteValues(out, 6, format, size, &bytes->gradients, [&](std::uint8_t* to) {
    switch (format) {
      case WireFormat::kFloat32:
        std::memcpy(to, values.data(), size);
        break;
      case WireFormat::kBfloat16:
        ToBfloat16(values.data(), values.size(), bits, 0, to);
        break;
      case WireFormat::kFloat16:
        ToFloat16(values.data(), values.size(), bits, 0, to);
        break;
      case WireFormat::kInt8:
        std::memcpy(to, plan.steps.data(), size);
        break;
    }
  });
  WriteFloats(out, 14, plan.scales, &bytes->gradients);
}

void WriteTable(MessageWriter& out, const TableExchange& table,
                const RoundingBits& bits, const RequestPlan& plan,
                TrafficBytes* bytes) {
  out.Tag(1, MessageWriter::kFixed64);
  out.Fixed64(table.table);
  out.VarintField(2, static_cast<std::uint64_t>(table.staleness));
  WriteIds(out, 3, table.push_ids, plan.push_ids, bytes);
  WriteClocks(out, 4, 10, table.push_clocks, plan.push_clocks, bytes);
  WriteFloats(out, 5, plan.rates, &bytes->gradients);
  WriteGradients(out, table, bits, plan, bytes);
  WriteIds(out, 7, table.validate_ids, plan.validate_ids, bytes);
  WriteClocks(out, 8, 11, table.validate_clocks, plan.validate_clocks, bytes);
  WriteIds(out, 9, table.fetch_ids, plan.fetch_ids, bytes);
  out.VarintField(12, static_cast<std::uint64_t>(table.row_format));
  out.VarintField(13, static_cast<std::uint64_t>(table.gradient_format));
  out.VarintField(15, table.round);
}

}  // namespace

std::vector<AskedRows> AskedRowsOf(const ExchangeRequest& request) {
  std::vector<AskedRows> asked;
  asked.reserve(request.tables.size());
  for (const TableExchange& table : request.tables) {
    asked.push_back({table.validate_ids.size(), table.fetch_ids.size(),
                     table.row_format});
  }
  return asked;
}

grpc::ByteBuffer EncodeRequest(const ExchangeRequest& request,
                               TrafficBytes* bytes) {
  std::vector<RequestPlan> plans;
  std::vector<RoundingBits> rounding;
  plans.reserve(request.tables.size());
  for (const TableExchange& table : request.tables) {
    plans.emplace_back(table);
    rounding.emplace_back(request.header.worker, request.header.sequence,
                          table.table);
    if (table.gradient_format == WireFormat::kInt8) {
      PlanInt8(table, rounding.back(), &plans.back());
    }
  }
  return Build(
      [&](MessageWriter& out, TrafficBytes* kinds) {
        out.Tag(1, MessageWriter::kFixed64);
        out.Fixed64(request.header.worker);
        out.Tag(2, MessageWriter::kFixed64);
        out.Fixed64(request.header.shard);
        out.Tag(3, MessageWriter::kVarint);
        out.Varint(request.header.sequence);
        for (std::size_t t = 0; t < plans.size(); ++t) {
          WriteNested(
              out, 4,
              [&](MessageWriter& nested, TrafficBytes* nested_kinds) {
                WriteTable(nested, request.tables[t], rounding[t], plans[t],
                           nested_kinds);
              },
              kinds);
        }
      },
      bytes);
}

}  // namespace het
