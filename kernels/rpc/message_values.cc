#include "kernels/rpc/message_values.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/base/buffers.h"
#include "kernels/rpc/packed_numbers.h"
#include "kernels/rpc/row_formats.h"

namespace het {
namespace {

Status Spend(Piece bytes, std::size_t max, std::size_t* left) {
  const std::size_t count = CountPacked({bytes.data, bytes.size});
  if (count > *left) {
    return FailedPrecondition("an exchange has more than ", max, " ids or clocks",
                              ": use smaller batches, or raise the shard's "
                              "--max-ids");
  }
  *left -= count;
  return OkStatus();
}

}  // namespace

Status ReadIds(Piece bytes, NumbersLeft* left, std::vector<RowId>* ids) {
  HET_RETURN_IF_ERROR(Spend(bytes, left->max, &left->ids));
  return ReadPackedIds({bytes.data, bytes.size}, ids)
             ? OkStatus()
             : Malformed("an id is cut off");
}

Status ReadClocks(Piece bytes, NumbersLeft* left, std::vector<Clock>* clocks) {
  HET_RETURN_IF_ERROR(Spend(bytes, left->max, &left->clocks));
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

void CountFraming(const grpc::ByteBuffer& message, const TrafficBytes& kinds,
                  TrafficBytes* bytes) {
  *bytes += kinds;
  bytes->framing +=
      static_cast<std::int64_t>(message.Length()) - kinds.total();
}

}  // namespace het
