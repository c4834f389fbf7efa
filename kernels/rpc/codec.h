// Codec: exchanges to bytes and back, as protos/shard.proto says.
//
// Written by hand so that rows and gradients are copied once into the message
// and not at all out of it: payloads are padded to four bytes (by a longer, but
// valid, length prefix), and a decoded row points into the received message.
//
// Pure functions; decoded values own what they point into. Every length is
// checked before it is used: bytes from the wire cannot make it fail otherwise
// than by a status (DATA_LOSS).

#ifndef HET_TF_KERNELS_RPC_CODEC_H_
#define HET_TF_KERNELS_RPC_CODEC_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/store/embedding_store.h"
#include "kernels/store/exchange.h"

namespace het {

// Adds the message's bytes by kind to `bytes`.
grpc::ByteBuffer EncodeRequest(const ExchangeRequest& request,
                               TrafficBytes* bytes);

grpc::ByteBuffer EncodeReply(const ExchangeReply& reply, TrafficBytes* bytes);

// A request with the arrays it views.
struct DecodedRequest {
  struct Arrays {
    std::vector<RowId> push_ids, validate_ids, fetch_ids;
    std::vector<Clock> push_clocks, validate_clocks;
    std::vector<float> push_learning_rates;
    std::vector<float> push_gradients;  // used when the message is not aligned
  };

  ExchangeRequest request;
  std::vector<std::unique_ptr<Arrays>> arrays;
  std::shared_ptr<const void> message;
};

Status DecodeRequest(const grpc::ByteBuffer& message, DecodedRequest* request,
                     TrafficBytes* bytes);

// How many rows a table's part of an exchange asks about.
struct ReplySize {
  std::size_t validated = 0;
  std::size_t fetched = 0;
};

// `sizes` are those of the request that the message answers.
Status DecodeReply(const grpc::ByteBuffer& message,
                   const std::vector<ReplySize>& sizes, ExchangeReply* reply,
                   TrafficBytes* bytes);

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_CODEC_H_
