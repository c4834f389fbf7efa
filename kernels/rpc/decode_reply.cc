#include <cstring>
#include <utility>

#include "kernels/rpc/codec.h"
#include "kernels/rpc/message_values.h"
#include "kernels/rpc/packed_numbers.h"
#include "kernels/rpc/row_formats.h"

namespace het {
namespace {

bool BitAt(Piece bits, std::size_t i) {
  return bits.size > 0 && (bits.data[i / 8] >> i % 8 & 1) != 0;
}

// Of the first `count` bits.
std::size_t CountBits(Piece bits, std::size_t count) {
  if (bits.size == 0) return 0;
  std::size_t set = 0;
  for (std::size_t i = 0; i < count; ++i) set += BitAt(bits, i) ? 1 : 0;
  return set;
}

// What a reply says about one table, as it stands in the message.
struct ReplyFields {
  Piece stale, initial, rows, short_step_scales;
  std::vector<Clock> clocks;
  std::vector<float> step_scales, row_scales;
  std::uint64_t clock_base = 0;
  float initial_step_scale = 1.0f;
};

Status ReadReplyFields(Piece message, ReplyFields* fields,
                       TrafficBytes* kinds) {
  NumbersLeft unlimited{SIZE_MAX, SIZE_MAX, SIZE_MAX};
  return ForEachField(
      message, "-222220225",
      [&](int field, std::uint64_t number, Piece bytes) -> Status {
        const auto size = static_cast<std::int64_t>(bytes.size);
        (field <= 2 ? kinds->clocks : kinds->rows) += size;
        switch (field) {
          case 1:
            fields->stale = bytes;
            return OkStatus();
          case 2:
            return ReadClocks(bytes, &unlimited, &fields->clocks);
          case 3:
            return CopyArray(bytes, &fields->step_scales);
          case 4:
            fields->rows = bytes;
            return OkStatus();
          case 5:
            fields->initial = bytes;
            return OkStatus();
          case 6:
            fields->clock_base = number;
            return OkStatus();
          case 7:
            return CopyArray(bytes, &fields->row_scales);
          case 8:
            fields->short_step_scales = bytes;
            return OkStatus();
          case 9: {
            const auto bits = static_cast<std::uint32_t>(number);
            std::memcpy(&fields->initial_step_scale, &bits, sizeof bits);
            return OkStatus();
          }
          default:
            return OkStatus();
        }
      });
}

Status DecodeReplyTable(Piece message, const AskedRows& asked,
                        TableReply* table, ExchangeReply* reply,
                        TrafficBytes* kinds) {
  ReplyFields fields;
  HET_RETURN_IF_ERROR(ReadReplyFields(message, &fields, kinds));
  table->validated.resize(asked.validated);
  table->fetched.resize(asked.fetched);
  if (fields.stale.size != 0 &&
      fields.stale.size != (asked.validated + 7) / 8) {
    return Malformed("the bitmap of stale rows does not fit the request");
  }
  const std::size_t answered =
      CountBits(fields.stale, asked.validated) + asked.fetched;
  if (fields.initial.size != 0 && fields.initial.size != (answered + 7) / 8) {
    return Malformed("the bitmap of initial rows does not fit the request");
  }
  const std::size_t rows = answered - CountBits(fields.initial, answered);
  std::vector<float>& step_scales = fields.step_scales;
  if (fields.short_step_scales.size % 2 != 0) {
    return Malformed("an array of step scales has a torn end");
  }
  if (fields.short_step_scales.size != 0) {
    step_scales.resize(fields.short_step_scales.size / 2);
    FromBfloat16(fields.short_step_scales.data, step_scales.size(),
                 step_scales.data());
  }
  std::unique_ptr<float[]> copy;
  Span<const float> values;
  HET_RETURN_IF_ERROR(ReadValues(fields.rows, asked.row_format, rows,
                                 fields.row_scales, &copy, &values));
  if (copy != nullptr) {
    reply->buffers.push_back(std::shared_ptr<const float[]>(std::move(copy)));
  }
  if (fields.clocks.size() != rows ||
      (!step_scales.empty() && step_scales.size() != rows) ||
      (rows == 0 ? !values.empty()
                 : values.empty() || values.size() % rows != 0)) {
    return Malformed("a reply does not fit its request");
  }
  AddBase(fields.clock_base, &fields.clocks);
  for (const Clock clock : fields.clocks) {
    if (clock < 0) return Malformed("a row's clock is negative");
  }
  if (rows > 0) table->dimension = values.size() / rows;
  std::size_t next = 0, next_row = 0;
  const auto answer = [&](RowView* view) {
    if (BitAt(fields.initial, next++)) {
      *view = {nullptr, 0, fields.initial_step_scale, true};
      return;
    }
    const std::size_t row = next_row++;
    *view = {&values[row * table->dimension], fields.clocks[row],
             step_scales.empty() ? 1.0f : step_scales[row]};
  };
  for (std::size_t i = 0; i < asked.validated; ++i) {
    if (BitAt(fields.stale, i)) answer(&table->validated[i]);
  }
  for (RowView& view : table->fetched) answer(&view);
  return OkStatus();
}

}  // namespace

Status DecodeReply(const grpc::ByteBuffer& message,
                   const std::vector<AskedRows>& asked, ExchangeReply* reply,
                   TrafficBytes* bytes) {
  Piece flat;
  std::shared_ptr<const void> owner;
  HET_RETURN_IF_ERROR(Flatten(message, &owner, &flat));
  if (owner != nullptr) reply->buffers.push_back(std::move(owner));
  TrafficBytes kinds;
  HET_RETURN_IF_ERROR(
      ForEachField(flat, "-2", [&](int field, std::uint64_t,
                                   Piece nested) -> Status {
        if (field != 1) return OkStatus();
        const std::size_t t = reply->tables.size();
        if (t == asked.size()) return Malformed("a reply has too many tables");
        reply->tables.emplace_back();
        return DecodeReplyTable(nested, asked[t], &reply->tables[t], reply,
                                &kinds);
      }));
  if (reply->tables.size() != asked.size()) {
    return Malformed("a reply has too few tables");
  }
  CountFraming(message, kinds, bytes);
  return OkStatus();
}

}  // namespace het
