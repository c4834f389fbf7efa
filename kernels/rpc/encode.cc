#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/rpc/codec.h"
#include "kernels/rpc/message_writer.h"
#include "kernels/rpc/row_formats.h"

// The field numbers are those of protos/shard.proto.
//
// A table is measured once, into a plan; writing it goes by the plan.

namespace het {
namespace {

// Counts what a part of the message added to one kind.
template <typename Write>
void Count(MessageWriter& out, std::int64_t* kind, Write write) {
  const std::size_t before = out.size();
  write();
  *kind += static_cast<std::int64_t>(out.size() - before);
}

void WriteIds(MessageWriter& out, std::uint32_t field, Span<const RowId> ids,
              std::size_t size, TrafficBytes* bytes) {
  if (ids.empty()) return;
  out.Header(field, size);
  Count(out, &bytes->ids, [&] {
    out.Content(size, [&](std::uint8_t* to) { WritePackedIds(ids, to); });
  });
}

void WriteClocks(MessageWriter& out, std::uint32_t field,
                 std::uint32_t base_field, Span<const Clock> clocks,
                 const PackedClocks& packed, TrafficBytes* bytes) {
  if (clocks.empty()) return;
  out.VarintField(base_field, packed.base);
  out.Header(field, packed.size);
  Count(out, &bytes->clocks, [&] {
    out.Content(packed.size, [&](std::uint8_t* to) {
      WritePackedClocks(clocks, packed.base, to);
    });
  });
}

void WriteFloats(MessageWriter& out, std::uint32_t field,
                 Span<const float> values, std::int64_t* kind) {
  if (values.empty()) return;
  const std::size_t size = values.size() * sizeof(float);
  out.Header(field, size);
  Count(out, kind, [&] { out.Raw(values.data(), size); });
}

// A field of `bytes` bytes of values in `format`, written by write(to).
template <typename Write>
void WriteValues(MessageWriter& out, std::uint32_t field, WireFormat format,
                 std::size_t bytes, std::int64_t* kind, Write write) {
  if (bytes == 0) return;
  // Only what is not converted is read where it lies, and has to be aligned.
  if (format == WireFormat::kFloat32) {
    out.AlignedHeader(field, bytes);
  } else {
    out.Header(field, bytes);
  }
  Count(out, kind, [&] { out.Content(bytes, write); });
}

// Nested messages are measured, then written after their length.
template <typename Write>
void WriteNested(MessageWriter& out, std::uint32_t field, Write write,
                 TrafficBytes* bytes) {
  TrafficBytes ignored;
  // Padding depends on where the content starts, so it starts aligned.
  MessageWriter measure(nullptr);
  write(measure, &ignored);
  out.AlignedHeader(field, measure.size());
  write(out, bytes);
}

// --- Requests. --------------------------------------------------------------

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

// --- Replies. ---------------------------------------------------------------

void SetBit(std::size_t i, std::size_t size, std::vector<std::uint8_t>* bits) {
  if (bits->empty()) bits->resize((size + 7) / 8);
  (*bits)[i / 8] = static_cast<std::uint8_t>((*bits)[i / 8] | 1 << i % 8);
}

struct ReplyPlan {
  ReplyPlan(const TableReply& table, WireFormat row_format)
      : format(row_format), dimension(table.dimension) {
    std::vector<const RowView*> answered;
    answered.reserve(table.validated.size() + table.fetched.size());
    for (std::size_t i = 0; i < table.validated.size(); ++i) {
      if (!table.validated[i].answered()) continue;
      answered.push_back(&table.validated[i]);
      SetBit(i, table.validated.size(), &stale);
    }
    for (const RowView& row : table.fetched) answered.push_back(&row);

    rows.reserve(answered.size());
    clocks.reserve(answered.size());
    for (std::size_t i = 0; i < answered.size(); ++i) {
      if (answered[i]->initial) {
        SetBit(i, answered.size(), &initial);
        initial_step_scale = answered[i]->step_scale;
        continue;
      }
      rows.push_back(answered[i]->values);
      clocks.push_back(answered[i]->clock);
      step_scales.push_back(answered[i]->step_scale);
    }
    packed_clocks = MeasureClocks(clocks);
    if (std::all_of(step_scales.begin(), step_scales.end(),
                    [](float scale) { return scale == 1.0f; })) {
      step_scales.clear();
    }
    if (format != WireFormat::kInt8) return;
    scales.resize(rows.size());
    steps.resize(rows.size() * dimension);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      scales[i] = ToInt8(rows[i], dimension, &steps[i * dimension]);
    }
  }

  const WireFormat format;
  const std::size_t dimension;
  std::vector<std::uint8_t> stale, initial;  // bitmaps; empty: no bit is set
  std::vector<const float*> rows;            // those that have values
  std::vector<Clock> clocks;                 // of these rows
  PackedClocks packed_clocks;
  std::vector<float> step_scales;  // of these rows; empty: all are 1
  float initial_step_scale = 1.0f;
  std::vector<float> scales;         // of int8 rows
  std::vector<std::uint8_t> steps;  // int8 rows
};

void WriteBitmap(MessageWriter& out, std::uint32_t field,
                 const std::vector<std::uint8_t>& bits, std::int64_t* kind) {
  if (bits.empty()) return;
  out.Header(field, bits.size());
  Count(out, kind, [&] { out.Raw(bits.data(), bits.size()); });
}

void WriteStepScales(MessageWriter& out, const ReplyPlan& plan,
                     TrafficBytes* bytes) {
  const std::vector<float>& scales = plan.step_scales;
  if (plan.format == WireFormat::kFloat32) {
    WriteFloats(out, 3, scales, &bytes->rows);
  } else if (!scales.empty()) {
    out.Header(8, 2 * scales.size());
    Count(out, &bytes->rows, [&] {
      out.Content(2 * scales.size(), [&](std::uint8_t* to) {
        ToBfloat16(scales.data(), scales.size(), to);
      });
    });
  }
  if (plan.initial_step_scale != 1.0f) {
    out.Tag(9, MessageWriter::kFixed32);
    out.Raw(&plan.initial_step_scale, sizeof(float));
  }
}

void WriteRows(const ReplyPlan& plan, std::uint8_t* to) {
  const std::size_t row_bytes = plan.dimension * ValueBytes(plan.format);
  switch (plan.format) {
    case WireFormat::kFloat32:
      for (const float* row : plan.rows) {
        std::memcpy(to, row, row_bytes);
        to += row_bytes;
      }
      break;
    case WireFormat::kBfloat16:
      for (const float* row : plan.rows) {
        ToBfloat16(row, plan.dimension, to);
        to += row_bytes;
      }
      break;
    case WireFormat::kFloat16:
      for (const float* row : plan.rows) {
        ToFloat16(row, plan.dimension, to);
        to += row_bytes;
      }
      break;
    case WireFormat::kInt8:
      std::memcpy(to, plan.steps.data(), plan.steps.size());
      break;
  }
}

void WriteReplyTable(MessageWriter& out, const ReplyPlan& plan,
                     TrafficBytes* bytes) {
  WriteBitmap(out, 1, plan.stale, &bytes->clocks);
  WriteClocks(out, 2, 6, plan.clocks, plan.packed_clocks, bytes);
  WriteStepScales(out, plan, bytes);
  WriteValues(
      out, 4, plan.format,
      plan.rows.size() * plan.dimension * ValueBytes(plan.format), &bytes->rows,
      [&](std::uint8_t* to) { WriteRows(plan, to); });
  WriteBitmap(out, 5, plan.initial, &bytes->rows);
  WriteFloats(out, 7, plan.scales, &bytes->rows);
}

// Runs `write` once to measure and once to fill a slice of that size.
template <typename Write>
grpc::ByteBuffer Build(Write write, TrafficBytes* bytes) {
  TrafficBytes ignored;
  MessageWriter measure(nullptr);
  write(measure, &ignored);
  grpc::Slice slice(measure.size());
  MessageWriter out(const_cast<std::uint8_t*>(slice.begin()));
  const std::int64_t before = bytes->total();
  write(out, bytes);
  bytes->framing +=
      static_cast<std::int64_t>(out.size()) - (bytes->total() - before);
  return grpc::ByteBuffer(&slice, 1);
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

grpc::ByteBuffer EncodeReply(const ExchangeReply& reply,
                             const std::vector<AskedRows>& asked,
                             TrafficBytes* bytes) {
  std::vector<ReplyPlan> plans;
  plans.reserve(reply.tables.size());
  for (std::size_t t = 0; t < reply.tables.size(); ++t) {
    plans.emplace_back(reply.tables[t], asked[t].row_format);
  }
  return Build(
      [&](MessageWriter& out, TrafficBytes* kinds) {
        for (const ReplyPlan& plan : plans) {
          WriteNested(
              out, 1,
              [&](MessageWriter& nested, TrafficBytes* nested_kinds) {
                WriteReplyTable(nested, plan, nested_kinds);
              },
              kinds);
        }
      },
      bytes);
}

}  // namespace het
