// The values in a received message's fields: ids, clocks, rows and gradients.
//
// Pure functions; nothing is believed, and nothing is allocated that a limit has
// not been asked about.

#ifndef HET_TF_KERNELS_RPC_MESSAGE_VALUES_H_
#define HET_TF_KERNELS_RPC_MESSAGE_VALUES_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/status.h"
#include "kernels/base/types.h"
#include "kernels/rpc/message_reader.h"
#include "kernels/store/embedding_store.h"
#include "kernels/store/wire_format.h"

namespace het {

// How many numbers a request may still have.
struct NumbersLeft {
  std::size_t max, ids, clocks;
};

// Append packed numbers. FAILED_PRECONDITION: there are more than are left.
Status ReadIds(Piece bytes, NumbersLeft* left, std::vector<RowId>* ids);
Status ReadClocks(Piece bytes, NumbersLeft* left, std::vector<Clock>* clocks);

Status ReadFormat(std::uint64_t number, WireFormat* format);

// Rows or gradients: `*view` is where they are in the message if that can be
// (float32, aligned), or `*copy`, which they are converted into. `rows` is 0 or
// what their number has to be divisible by; `scales` are those of int8.
Status ReadValues(Piece bytes, WireFormat format, std::size_t rows,
                  Span<const float> scales, std::unique_ptr<float[]>* copy,
                  Span<const float>* view);

// The message in one piece, which `*owner` keeps.
Status Flatten(const grpc::ByteBuffer& message,
               std::shared_ptr<const void>* owner, Piece* bytes);

// All that is not counted by kind is framing.
void CountFraming(const grpc::ByteBuffer& message, const TrafficBytes& kinds,
                  TrafficBytes* bytes);

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_MESSAGE_VALUES_H_
