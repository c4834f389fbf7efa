#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "kernels/rpc/codec.h"

// The field numbers are those of protos/shard.proto. Unknown fields are passed
// over, as protobuf wants it.

namespace het {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::internal::WireFormatLite;

constexpr std::size_t kMaxTables = 65536;

Status Malformed(const char* what) {
  return DataLoss("a message from the wire is malformed: ", what);
}

// A piece of the received message.
struct Bytes {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
};

// Walks over the fields of one message; visit(field, value, bytes) gets the
// number of a varint or fixed field, or the content of a bytes field, and
// returns a status. `types[field]` is the wire type of a known field: '0' a
// varint, '1' fixed64, '2' bytes. Repeated numbers have to be packed, which is
// what every proto3 library writes.
template <typename Visit>
Status ForEachField(Bytes message, std::string_view types, Visit visit) {
  CodedInputStream in(message.data, static_cast<int>(message.size));
  while (const std::uint32_t tag = in.ReadTag()) {
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    std::uint64_t number = 0;
    std::uint32_t number32 = 0;
    Bytes bytes;
    const int type = WireFormatLite::GetTagWireType(tag);
    const auto known = static_cast<std::size_t>(field);
    if (known > 0 && known < types.size() && types[known] - '0' != type) {
      return Malformed("a field has another wire type than in shard.proto");
    }
    switch (type) {
      case WireFormatLite::WIRETYPE_VARINT:
        if (!in.ReadVarint64(&number)) return Malformed("a varint is cut off");
        break;
      case WireFormatLite::WIRETYPE_FIXED64:
        if (!in.ReadLittleEndian64(&number)) {
          return Malformed("a fixed64 is cut off");
        }
        break;
      case WireFormatLite::WIRETYPE_FIXED32:
        if (!in.ReadLittleEndian32(&number32)) {
          return Malformed("a fixed32 is cut off");
        }
        number = number32;
        break;
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED: {
        if (!in.ReadVarint64(&number)) return Malformed("a length is cut off");
        const std::size_t at = static_cast<std::size_t>(in.CurrentPosition());
        if (number > message.size - at) {
          return Malformed("a length reaches past the end");
        }
        bytes = {message.data + at, static_cast<std::size_t>(number)};
        in.Skip(static_cast<int>(number));
        break;
      }
      default:
        return Malformed("a field has an unknown wire type");
    }
    HET_RETURN_IF_ERROR(visit(field, number, bytes));
  }
  if (static_cast<std::size_t>(in.CurrentPosition()) != message.size) {
    return Malformed("a tag is wrong");
  }
  return OkStatus();
}

template <typename T>
Status CopyArray(Bytes bytes, std::vector<T>* values) {
  if (bytes.size % sizeof(T) != 0) return Malformed("an array has a torn end");
  const std::size_t old = values->size();
  values->resize(old + bytes.size / sizeof(T));
  if (bytes.size > 0) std::memcpy(values->data() + old, bytes.data, bytes.size);
  return OkStatus();
}

Status CopyClocks(Bytes bytes, std::vector<Clock>* clocks) {
  CodedInputStream in(bytes.data, static_cast<int>(bytes.size));
  clocks->reserve(clocks->size() + bytes.size);  // a clock takes a byte or more
  while (static_cast<std::size_t>(in.CurrentPosition()) < bytes.size) {
    std::uint64_t clock = 0;
    if (!in.ReadVarint64(&clock)) return Malformed("a clock is cut off");
    clocks->push_back(static_cast<Clock>(clock));
  }
  return OkStatus();
}

// The floats of `bytes` where they are, or a copy when they are not aligned.
Status ViewFloats(Bytes bytes, std::vector<float>* copy,
                  Span<const float>* view) {
  if (bytes.size % sizeof(float) != 0) {
    return Malformed("an array of floats has a torn end");
  }
  if (reinterpret_cast<std::uintptr_t>(bytes.data) % alignof(float) == 0) {
    *view = Span<const float>(reinterpret_cast<const float*>(bytes.data),
                              bytes.size / sizeof(float));
    return OkStatus();
  }
  copy->clear();
  HET_RETURN_IF_ERROR(CopyArray(bytes, copy));
  *view = *copy;
  return OkStatus();
}

// The message in one piece.
Status Flatten(const grpc::ByteBuffer& message,
               std::shared_ptr<const void>* owner, Bytes* bytes) {
  auto slice = std::make_shared<grpc::Slice>();
  if (message.Length() == 0) {
    *bytes = {nullptr, 0};
    return OkStatus();
  }
  const grpc::Status status = message.TrySingleSlice(slice.get()).ok()
                                  ? grpc::Status::OK
                                  : message.DumpToSingleSlice(slice.get());
  if (!status.ok()) return Internal(status.error_message());
  if (slice->size() > std::numeric_limits<int>::max()) {
    return Malformed("it is larger than 2 GiB");
  }
  *bytes = {slice->begin(), slice->size()};
  *owner = std::move(slice);
  return OkStatus();
}

Status DecodeTable(Bytes message, DecodedRequest::Arrays* arrays,
                   TableExchange* table, TrafficBytes* kinds) {
  HET_RETURN_IF_ERROR(ForEachField(
      message, "-102222222",
      [&](int field, std::uint64_t number, Bytes bytes) -> Status {
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
            return CopyArray(bytes, &arrays->push_ids);
          case 4:
            kinds->clocks += size;
            return CopyClocks(bytes, &arrays->push_clocks);
          case 5:
            kinds->gradients += size;
            return CopyArray(bytes, &arrays->push_learning_rates);
          case 6:
            kinds->gradients += size;
            return ViewFloats(bytes, &arrays->push_gradients,
                              &table->push_gradients);
          case 7:
            kinds->ids += size;
            return CopyArray(bytes, &arrays->validate_ids);
          case 8:
            kinds->clocks += size;
            return CopyClocks(bytes, &arrays->validate_clocks);
          case 9:
            kinds->ids += size;
            return CopyArray(bytes, &arrays->fetch_ids);
          default:
            return OkStatus();
        }
      }));
  if (arrays->push_learning_rates.size() == 1 && arrays->push_ids.size() > 1) {
    arrays->push_learning_rates.resize(arrays->push_ids.size(),
                                       arrays->push_learning_rates[0]);
  }
  table->push_ids = arrays->push_ids;
  table->push_clocks = arrays->push_clocks;
  table->push_learning_rates = arrays->push_learning_rates;
  table->validate_ids = arrays->validate_ids;
  table->validate_clocks = arrays->validate_clocks;
  table->fetch_ids = arrays->fetch_ids;
  return OkStatus();
}

Status DecodeReplyTable(Bytes message, const ReplySize& size,
                        TableReply* table, ExchangeReply* reply,
                        TrafficBytes* kinds) {
  Bytes stale;
  std::vector<Clock> clocks;
  std::vector<float> step_scales;
  auto copy = std::make_shared<std::vector<float>>();
  Span<const float> values;
  HET_RETURN_IF_ERROR(ForEachField(
      message, "-2222",
      [&](int field, std::uint64_t, Bytes bytes) -> Status {
        const auto length = static_cast<std::int64_t>(bytes.size);
        switch (field) {
          case 1:
            kinds->clocks += length;
            stale = bytes;
            return OkStatus();
          case 2:
            kinds->clocks += length;
            return CopyClocks(bytes, &clocks);
          case 3:
            kinds->rows += length;
            return CopyArray(bytes, &step_scales);
          case 4:
            kinds->rows += length;
            return ViewFloats(bytes, copy.get(), &values);
          default:
            return OkStatus();
        }
      }));
  table->validated.resize(size.validated);
  table->fetched.resize(size.fetched);
  if (!copy->empty()) reply->buffers.push_back(copy);

  if (stale.size != 0 && stale.size != (size.validated + 7) / 8) {
    return Malformed("the bitmap of stale rows does not fit the request");
  }
  std::vector<RowView*> rows;
  for (std::size_t i = 0; i < size.validated && stale.size != 0; ++i) {
    if (stale.data[i / 8] >> i % 8 & 1) rows.push_back(&table->validated[i]);
  }
  for (RowView& row : table->fetched) rows.push_back(&row);
  if (clocks.size() != rows.size() ||
      (!step_scales.empty() && step_scales.size() != rows.size()) ||
      (rows.empty() ? !values.empty()
                    : values.empty() || values.size() % rows.size() != 0)) {
    return Malformed("a reply does not fit its request");
  }
  if (rows.empty()) return OkStatus();
  for (const Clock clock : clocks) {
    if (clock < 0) return Malformed("a row's clock is negative");
  }
  table->dimension = values.size() / rows.size();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    *rows[i] = {&values[i * table->dimension], clocks[i],
                step_scales.empty() ? 1.0f : step_scales[i]};
  }
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
  Bytes flat;
  HET_RETURN_IF_ERROR(Flatten(message, &decoded->message, &flat));
  TrafficBytes kinds;
  ExchangeRequest& request = decoded->request;
  HET_RETURN_IF_ERROR(ForEachField(
      flat, "-1102",
      [&](int field, std::uint64_t number, Bytes nested) -> Status {
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
                   const std::vector<ReplySize>& sizes, ExchangeReply* reply,
                   TrafficBytes* bytes) {
  Bytes flat;
  std::shared_ptr<const void> owner;
  HET_RETURN_IF_ERROR(Flatten(message, &owner, &flat));
  if (owner != nullptr) reply->buffers.push_back(std::move(owner));
  TrafficBytes kinds;
  HET_RETURN_IF_ERROR(
      ForEachField(flat, "-2", [&](int field, std::uint64_t,
                                   Bytes nested) -> Status {
        if (field != 1) return OkStatus();
        const std::size_t t = reply->tables.size();
        if (t == sizes.size()) return Malformed("a reply has too many tables");
        reply->tables.emplace_back();
        return DecodeReplyTable(nested, sizes[t], &reply->tables[t], reply,
                                &kinds);
      }));
  if (reply->tables.size() != sizes.size()) {
    return Malformed("a reply has too few tables");
  }
  CountFraming(message, kinds, bytes);
  return OkStatus();
}

}  // namespace het
