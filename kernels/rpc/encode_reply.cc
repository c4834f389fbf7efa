#include <algorithm>
#include <cstring>

#include "kernels/rpc/codec.h"
#include "kernels/rpc/message_parts.h"
#include "kernels/rpc/row_formats.h"

namespace het {
namespace {

void SetBit(std::size_t i, std::size_t size, std::vector<std::uint8_t>* bits) {
  if (bits->empty()) bits->resize((size + 7) / 8);
  (*bits)[i / 8] = static_cast<std::uint8_t>((*bits)[i / 8] | 1 << i % 8);
}

struct ReplyPlan {
  ReplyPlan(const TableReply& table, WireFormat row_format, bool may_refer)
      : format(row_format), dimension(table.dimension) {
    const std::size_t most = table.validated.size() + table.fetched.size();
    rows.reserve(most);
    clocks.reserve(most);
    step_scales.reserve(most);
    std::size_t answered = 0;
    const auto add = [&](const RowView& row) {
      const std::size_t i = answered++;
      if (row.initial) {
        SetBit(i, most, &initial);
        initial_step_scale = row.step_scale;
        return;
      }
      rows.push_back(row.values);
      clocks.push_back(row.clock);
      step_scales.push_back(row.step_scale);
    };
    for (std::size_t i = 0; i < table.validated.size(); ++i) {
      if (!table.validated[i].answered()) continue;
      add(table.validated[i]);
      SetBit(i, table.validated.size(), &stale);
    }
    for (const RowView& row : table.fetched) add(row);
    if (!initial.empty()) initial.resize((answered + 7) / 8);
    packed_clocks = MeasureClocks(clocks);
    if (std::all_of(step_scales.begin(), step_scales.end(),
                    [](float scale) { return scale == 1.0f; })) {
      step_scales.clear();
    }
    if (may_refer && format == WireFormat::kFloat32) FindRuns();
    if (format != WireFormat::kInt8) return;
    scales.resize(rows.size());
    steps.resize(rows.size() * dimension);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      scales[i] = ToInt8(rows[i], dimension, &steps[i * dimension]);
    }
  }

  // Rows that follow one another in memory, if that makes large pieces.
  void FindRuns() {
    const std::size_t most = rows.size() * dimension * sizeof(float) /
                             MessageWriter::kLeastReference;
    for (const float* row : rows) {
      if (!runs.empty() && runs.back().end() == row) {
        runs.back() = {runs.back().data(), runs.back().size() + dimension};
        continue;
      }
      if (runs.size() == most) {
        runs.clear();
        return;
      }
      runs.push_back({row, dimension});
    }
  }

  const WireFormat format;
  const std::size_t dimension;
  std::vector<std::uint8_t> stale, initial;  // bitmaps; empty: no bit is set
  std::vector<const float*> rows;            // those that have values
  std::vector<Span<const float>> runs;       // of them; empty: to be copied
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

// `owner` keeps the rows.
void WriteReplyTable(MessageWriter& out, const ReplyPlan& plan,
                     const std::shared_ptr<const void>& owner,
                     TrafficBytes* bytes) {
  WriteBitmap(out, 1, plan.stale, &bytes->clocks);
  WriteClocks(out, 2, 6, plan.clocks, plan.packed_clocks, bytes);
  WriteStepScales(out, plan, bytes);
  const std::size_t size =
      plan.rows.size() * plan.dimension * ValueBytes(plan.format);
  if (plan.runs.empty()) {
    WriteValues(out, 4, plan.format, size, &bytes->rows,
                [&](std::uint8_t* to) { WriteRows(plan, to); });
  } else {
    out.AlignedHeader(4, size);
    Count(out, &bytes->rows, [&] {
      for (const Span<const float> run : plan.runs) {
        out.Refer(run.data(), run.size() * sizeof(float), owner);
      }
    });
  }
  WriteBitmap(out, 5, plan.initial, &bytes->rows);
  WriteFloats(out, 7, plan.scales, &bytes->rows);
}

}  // namespace

grpc::ByteBuffer EncodeReply(const ExchangeReply& reply,
                             const std::vector<AskedRows>& asked,
                             TrafficBytes* bytes) {
  std::vector<ReplyPlan> plans;
  plans.reserve(reply.tables.size());
  for (std::size_t t = 0; t < reply.tables.size(); ++t) {
    plans.emplace_back(reply.tables[t], asked[t].row_format,
                       /*may_refer=*/!reply.buffers.empty());
  }
  const auto owner =
      std::make_shared<std::vector<std::shared_ptr<const void>>>(reply.buffers);
  return Build(
      [&](MessageWriter& out, TrafficBytes* kinds) {
        for (const ReplyPlan& plan : plans) {
          WriteNested(
              out, 1,
              [&](MessageWriter& nested, TrafficBytes* nested_kinds) {
                WriteReplyTable(nested, plan, owner, nested_kinds);
              },
              kinds);
        }
      },
      bytes);
}

}  // namespace het
