#include <algorithm>

#include "kernels/rpc/codec.h"
#include "kernels/rpc/message_writer.h"

// The field numbers are those of protos/shard.proto.

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
              TrafficBytes* bytes) {
  if (ids.empty()) return;
  out.Tag(field, MessageWriter::kBytes);
  out.Varint(ids.size() * sizeof(RowId));
  Count(out, &bytes->ids,
        [&] { out.Raw(ids.data(), ids.size() * sizeof(RowId)); });
}

// `clock(i)` is the i-th of `count` clocks.
template <typename ClockAt>
void WriteClocks(MessageWriter& out, std::uint32_t field, std::size_t count,
                 ClockAt clock, TrafficBytes* bytes) {
  if (count == 0) return;
  std::size_t size = 0;
  for (std::size_t i = 0; i < count; ++i) {
    size += MessageWriter::VarintSize(static_cast<std::uint64_t>(clock(i)));
  }
  out.Tag(field, MessageWriter::kBytes);
  out.Varint(size);
  Count(out, &bytes->clocks, [&] {
    for (std::size_t i = 0; i < count; ++i) {
      out.Varint(static_cast<std::uint64_t>(clock(i)));
    }
  });
}

void WriteFloats(MessageWriter& out, std::uint32_t field,
                 Span<const float> values, std::int64_t* kind) {
  if (values.empty()) return;
  out.AlignedHeader(field, values.size() * sizeof(float));
  Count(out, kind,
        [&] { out.Raw(values.data(), values.size() * sizeof(float)); });
}

// Nested messages are written twice: measured, then after their length.
template <typename Write>
void WriteNested(MessageWriter& out, std::uint32_t field, Write write) {
  TrafficBytes ignored;
  // Padding depends on where the content starts, so it starts aligned.
  MessageWriter measure(nullptr);
  write(measure, &ignored);
  out.AlignedHeader(field, measure.size());
}

void WriteTable(MessageWriter& out, const TableExchange& table,
                TrafficBytes* bytes) {
  out.Tag(1, MessageWriter::kFixed64);
  out.Fixed64(table.table);
  if (table.staleness != 0) {
    out.Tag(2, MessageWriter::kVarint);
    out.Varint(static_cast<std::uint64_t>(table.staleness));
  }
  WriteIds(out, 3, table.push_ids, bytes);
  WriteClocks(
      out, 4, table.push_clocks.size(),
      [&](std::size_t i) { return table.push_clocks[i]; }, bytes);
  Span<const float> rates = table.push_learning_rates;
  if (!rates.empty() &&
      std::all_of(rates.begin(), rates.end(),
                  [&](float rate) { return rate == rates[0]; })) {
    rates = rates.subspan(0, 1);
  }
  WriteFloats(out, 5, rates, &bytes->gradients);
  WriteFloats(out, 6, table.push_gradients, &bytes->gradients);
  WriteIds(out, 7, table.validate_ids, bytes);
  WriteClocks(
      out, 8, table.validate_clocks.size(),
      [&](std::size_t i) { return table.validate_clocks[i]; }, bytes);
  WriteIds(out, 9, table.fetch_ids, bytes);
}

void WriteReplyTable(MessageWriter& out, const TableReply& table,
                     TrafficBytes* bytes) {
  std::vector<const RowView*> rows;
  rows.reserve(table.validated.size() + table.fetched.size());
  for (const RowView& row : table.validated) {
    if (row.values != nullptr) rows.push_back(&row);
  }
  const std::size_t stale = rows.size();
  for (const RowView& row : table.fetched) rows.push_back(&row);

  if (stale > 0) {
    std::vector<std::uint8_t> bitmap((table.validated.size() + 7) / 8);
    for (std::size_t i = 0; i < table.validated.size(); ++i) {
      if (table.validated[i].values != nullptr) {
        bitmap[i / 8] = static_cast<std::uint8_t>(bitmap[i / 8] | 1 << i % 8);
      }
    }
    out.Tag(1, MessageWriter::kBytes);
    out.Varint(bitmap.size());
    Count(out, &bytes->clocks, [&] { out.Raw(bitmap.data(), bitmap.size()); });
  }
  WriteClocks(
      out, 2, rows.size(), [&](std::size_t i) { return rows[i]->clock; },
      bytes);
  if (std::any_of(rows.begin(), rows.end(), [](const RowView* row) {
        return row->step_scale != 1.0f;
      })) {
    out.AlignedHeader(3, rows.size() * sizeof(float));
    Count(out, &bytes->rows, [&] {
      for (const RowView* row : rows) out.Raw(&row->step_scale, sizeof(float));
    });
  }
  if (!rows.empty()) {
    const std::size_t row_bytes = table.dimension * sizeof(float);
    out.AlignedHeader(4, rows.size() * row_bytes);
    Count(out, &bytes->rows, [&] {
      for (const RowView* row : rows) out.Raw(row->values, row_bytes);
    });
  }
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

grpc::ByteBuffer EncodeRequest(const ExchangeRequest& request,
                               TrafficBytes* bytes) {
  return Build(
      [&](MessageWriter& out, TrafficBytes* kinds) {
        out.Tag(1, MessageWriter::kFixed64);
        out.Fixed64(request.header.worker);
        out.Tag(2, MessageWriter::kFixed64);
        out.Fixed64(request.header.shard);
        out.Tag(3, MessageWriter::kVarint);
        out.Varint(request.header.sequence);
        for (const TableExchange& table : request.tables) {
          WriteNested(out, 4, [&](MessageWriter& nested, TrafficBytes* ignored) {
            WriteTable(nested, table, ignored);
          });
          WriteTable(out, table, kinds);
        }
      },
      bytes);
}

grpc::ByteBuffer EncodeReply(const ExchangeReply& reply, TrafficBytes* bytes) {
  return Build(
      [&](MessageWriter& out, TrafficBytes* kinds) {
        for (const TableReply& table : reply.tables) {
          WriteNested(out, 1, [&](MessageWriter& nested, TrafficBytes* ignored) {
            WriteReplyTable(nested, table, ignored);
          });
          WriteReplyTable(out, table, kinds);
        }
      },
      bytes);
}

}  // namespace het
