// Codec: exchanges to bytes and back, as protos/shard.proto says.
//
// Written by hand so that float32 rows and gradients are copied seldom. Large
// ones that somebody shares (ExchangeReply::buffers,
// TableExchange::gradients_owner) are sent from where they lie, others are
// copied once into the message. None is copied out of it: payloads are padded
// to four bytes (by a longer, but valid, length prefix), and a decoded row
// points into the received message, which is put together when it comes in
// pieces. Other formats are converted here, on their way in and out
// (row_formats.h); whoever uses the decoded values finds float32.
//
// Pure functions; decoded values own what they point into. Every length is
// checked before it is used: bytes from the wire cannot make it fail otherwise
// than by a status (DATA_LOSS). Encoding a request twice gives the same bytes.

#ifndef HET_TF_KERNELS_RPC_CODEC_H_
#define HET_TF_KERNELS_RPC_CODEC_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/store/embedding_store.h"
#include "kernels/store/exchange.h"

namespace het {

// Adds the message's bytes by kind to `bytes`.
grpc::ByteBuffer EncodeRequest(const ExchangeRequest& request,
                               TrafficBytes* bytes);

// What a table's part of an exchange asks to be answered.
struct AskedRows {
  std::size_t validated = 0;
  std::size_t fetched = 0;
  WireFormat row_format = WireFormat::kFloat32;
};
std::vector<AskedRows> AskedRowsOf(const ExchangeRequest& request);

// `asked` is what the request asked that the reply answers, table by table.
grpc::ByteBuffer EncodeReply(const ExchangeReply& reply,
                             const std::vector<AskedRows>& asked,
                             TrafficBytes* bytes);

// A request with the arrays it views.
struct DecodedRequest {
  struct Arrays {
    std::vector<RowId> push_ids, validate_ids, fetch_ids;
    std::vector<Clock> push_clocks, validate_clocks;
    std::vector<float> push_learning_rates;
    // Used when the message's are not aligned or in another format.
    std::unique_ptr<float[]> push_gradients;
  };

  ExchangeRequest request;
  std::vector<std::unique_ptr<Arrays>> arrays;
  std::shared_ptr<const void> message;
};

// FAILED_PRECONDITION: it has more than `max_ids` ids or clocks, which are counted
// before memory is taken for them.
Status DecodeRequest(
    const grpc::ByteBuffer& message, DecodedRequest* request,
    TrafficBytes* bytes,
    std::size_t max_ids = std::numeric_limits<std::size_t>::max());

Status DecodeReply(const grpc::ByteBuffer& message,
                   const std::vector<AskedRows>& asked, ExchangeReply* reply,
                   TrafficBytes* bytes);

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_CODEC_H_
