// The parts that requests and replies are written of (codec.h).
//
// A table is measured once, into a plan; writing it goes by the plan. The field
// numbers are those of protos/shard.proto. Pure functions.

#ifndef HET_TF_KERNELS_RPC_MESSAGE_PARTS_H_
#define HET_TF_KERNELS_RPC_MESSAGE_PARTS_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

#include "kernels/base/span.h"
#include "kernels/rpc/message_writer.h"
#include "kernels/rpc/packed_numbers.h"
#include "kernels/store/embedding_store.h"
#include "kernels/store/wire_format.h"

namespace het {

// Counts what a part of the message added to one kind.
template <typename Write>
void Count(MessageWriter& out, std::int64_t* kind, Write write) {
  const std::size_t before = out.size();
  write();
  *kind += static_cast<std::int64_t>(out.size() - before);
}

inline void WriteIds(MessageWriter& out, std::uint32_t field,
                     Span<const RowId> ids, std::size_t size,
                     TrafficBytes* bytes) {
  if (ids.empty()) return;
  out.Header(field, size);
  Count(out, &bytes->ids, [&] {
    out.Content(size, [&](std::uint8_t* to) { WritePackedIds(ids, to); });
  });
}

inline void WriteClocks(MessageWriter& out, std::uint32_t field,
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

inline void WriteFloats(MessageWriter& out, std::uint32_t field,
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
  MessageWriter measure;
  write(measure, &ignored);
  out.AlignedHeader(field, measure.size());
  write(out, bytes);
}

// Runs `write` once to measure and once to write.
template <typename Write>
grpc::ByteBuffer Build(Write write, TrafficBytes* bytes) {
  TrafficBytes ignored;
  MessageWriter measure;
  write(measure, &ignored);
  MessageWriter out(measure);
  const std::int64_t before = bytes->total();
  write(out, bytes);
  bytes->framing +=
      static_cast<std::int64_t>(out.size()) - (bytes->total() - before);
  return out.Take();
}

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_MESSAGE_PARTS_H_
