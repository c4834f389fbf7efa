#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/base/buffers.h"
#include "kernels/rpc/codec.h"
#include "kernels/rpc/message_reader.h"
#include "kernels/rpc/packed_numbers.h"
#include "kernels/rpc/row_formats.h"

// The field numbers are those of protos/shard.proto. Unknown fields are passed
// over, as protobuf wants it.

namespace het {
namespace {

constexpr std::size_t kMaxTables = 65536;

Status ReadIds(Piece bytes, std::vector<RowId>* ids) {
  return ReadPackedIds({bytes.data, bytes.size}, ids)
             ? OkStatus()
             : Malformed("an id is cut off");
}

Status ReadClocks(Piece bytes, std::vector<Clock>* clocks) {
  return ReadPackedClocks({bytes.data, bytes.size}, clocks)
             ? OkStatus()
             : Malformed("a clock is cut off");
}

Status ReadFormat(std::uint64_t number, WireFormat* format) {
  if (number >= kWireFormats) {
    return Malformed("it asks for a format that shard.proto does not have");
  }
  *format = static_cast<WireFormat>(number);
  return OkStatus();
}

// Rows or gradients: `*view` is where they are in the message if that can be
// (float32, aligned), or `*copy`, which they are converted into. `rows` is 0 or
// what their number has to be divisible by; `scales` are those of int8.
Status ReadValues(Piece bytes, WireFormat format, std::size_t rows,
                  Span<const float> scales, std::unique_ptr<float[]>* copy,
                  Span<const float>* view) {
  const std::size_t count = bytes.size / ValueBytes(format);
  if (bytes.size % ValueBytes(format) != 0) {
    return Malformed("an array of values has a torn end");
  }
  if (scales.size() != (format == WireFormat::kInt8 ? rows : 0)) {
    return Malformed("there is not one scale per int8 row");
  }
  if (rows > 0 && format == WireFormat::kInt8 && count % rows != 0) {
    return Malformed("the last row is shorter than the others");
  }
  if (count == 0) return OkStatus();
  if (format == WireFormat::kFloat32 &&
      reinterpret_cast<std::uintptr_t>(bytes.data) % alignof(float) == 0) {
    *view = {reinterpret_cast<const float*>(bytes.data), count};
    return OkStatus();
  }
  copy->reset(new float[count]);
  float* values = copy->get();
  *view = {values, count};
  switch (format) {
    case WireFormat::kFloat32:
      std::memcpy(values, bytes.data, bytes.size);
      break;
    case WireFormat::kBfloat16:
      FromBfloat16(bytes.data, count, values);
      break;
    case WireFormat::kFloat16:
      FromFloat16(bytes.data, count, values);
      break;
    case WireFormat::kInt8: {
      if (rows == 0) return Malformed("int8 values belong to no row");
      const std::size_t dimension = count / rows;
      for (std::size_t i = 0; i < rows; ++i) {
        FromInt8(bytes.data + i * dimension, dimension, scales[i],
                 values + i * dimension);
      }
      break;
    }
  }
  return OkStatus();
}

// The message in one piece.
Status Flatten(const grpc::ByteBuffer& message,
               std::shared_ptr<const void>* owner, Piece* bytes) {
  const std::size_t size = message.Length();
  *bytes = {nullptr, 0};
  if (size == 0) return OkStatus();
  if (size > std::numeric_limits<int>::max()) {
    return Malformed("it is larger than 2 GiB");
  }
  std::vector<grpc::Slice> slices;
  const grpc::Status status = message.Dump(&slices);
  if (!status.ok()) return Internal(status.error_message());
  if (slices.size() == 1) {
    const auto slice = std::make_shared<grpc::Slice>(std::move(slices[0]));
    *bytes = {slice->begin(), size};
    *owner = slice;
    return OkStatus();
  }
  const std::shared_ptr<std::uint8_t[]> flat = TakeArray<std::uint8_t>(size);
  std::uint8_t* next = flat.get();
  for (const grpc::Slice& slice : slices) {
    next = std::copy(slice.begin(), slice.end(), next);
  }
  *bytes = {flat.get(), size};
  *owner = flat;
  return OkStatus();
}

Status DecodeTable(Piece message, DecodedRequest::Arrays* arrays,
                   TableExchange* table, TrafficBytes* kinds) {
  std::uint64_t push_base = 0, validate_base = 0;
  Piece gradients;
  std::vector<float> scales;
  HET_RETURN_IF_ERROR(ForEachField(
      message, "-102222222000020",
      [&](int field, std::uint64_t number, Piece bytes) -> Status {
        const auto size = static_cast<std::int64_t>(bytes.size);
        switch (field) {
          case 1:
            table->table = number;
            return OkStatus();
          case 2:
            table->staleness = static_cast<Staleness>(number);
            return OkStatus();
          case 3:
            kinds->ids += size;
            return ReadIds(bytes, &arrays->push_ids);
          case 4:
            kinds->clocks += size;
            return ReadClocks(bytes, &arrays->push_clocks);
          case 5:
            kinds->gradients += size;
            return CopyArray(bytes, &arrays->push_learning_rates);
          case 6:
            kinds->gradients += size;
            gradients = bytes;
            return OkStatus();
          case 7:
            kinds->ids += size;
            return ReadIds(bytes, &arrays->validate_ids);
          case 8:
            kinds->clocks += size;
            return ReadClocks(bytes, &arrays->validate_clocks);
          case 9:
            kinds->ids += size;
            return ReadIds(bytes, &arrays->fetch_ids);
          case 10:
            push_base = number;
            return OkStatus();
          case 11:
            validate_base = number;
            return OkStatus();
          case 12:
            return ReadFormat(number, &table->row_format);
          case 13:
            return ReadFormat(number, &table->gradient_format);
          case 14:
            kinds->gradients += size;
            return CopyArray(bytes, &scales);
          case 15:
            table->round = number;
            return OkStatus();
          default:
            return OkStatus();
        }
      }));
  AddBase(push_base, &arrays->push_clocks);
  AddBase(validate_base, &arrays->validate_clocks);
  if (arrays->push_learning_rates.size() == 1 && arrays->push_ids.size() > 1) {
    arrays->push_learning_rates.resize(arrays->push_ids.size(),
                                       arrays->push_learning_rates[0]);
  }
  HET_RETURN_IF_ERROR(ReadValues(gradients, table->gradient_format,
                                 arrays->push_ids.size(), scales,
                                 &arrays->push_gradients,
                                 &table->push_gradients));
  table->push_ids = arrays->push_ids;
  table->push_clocks = arrays->push_clocks;
  table->push_learning_rates = arrays->push_learning_rates;
  table->validate_ids = arrays->validate_ids;
  table->validate_clocks = arrays->validate_clocks;
  table->fetch_ids = arrays->fetch_ids;
  return OkStatus();
}

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
            return ReadClocks(bytes, &fields->clocks);
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

// All that is not counted by kind is framing.
void CountFraming(const grpc::ByteBuffer& message, const TrafficBytes& kinds,
                  TrafficBytes* bytes) {
  *bytes += kinds;
  bytes->framing +=
      static_cast<std::int64_t>(message.Length()) - kinds.total();
}

}  // namespace

Status DecodeRequest(const grpc::ByteBuffer& message, DecodedRequest* decoded,
                     TrafficBytes* bytes) {
  Piece flat;
  HET_RETURN_IF_ERROR(Flatten(message, &decoded->message, &flat));
  TrafficBytes kinds;
  ExchangeRequest& request = decoded->request;
  HET_RETURN_IF_ERROR(ForEachField(
      flat, "-1102",
      [&](int field, std::uint64_t number, Piece nested) -> Status {
        switch (field) {
          case 1:
            request.header.worker = number;
            return OkStatus();
          case 2:
            request.header.shard = number;
            return OkStatus();
          case 3:
            request.header.sequence = number;
            return OkStatus();
          case 4: {
            if (request.tables.size() == kMaxTables) {
              return Malformed("a request has more than 65536 tables");
            }
            decoded->arrays.push_back(
                std::make_unique<DecodedRequest::Arrays>());
            request.tables.emplace_back();
            return DecodeTable(nested, decoded->arrays.back().get(),
                               &request.tables.back(), &kinds);
          }
          default:
            return OkStatus();
        }
      }));
  CountFraming(message, kinds, bytes);
  return OkStatus();
}

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
