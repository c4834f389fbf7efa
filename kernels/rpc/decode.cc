#include <utility>

#include "kernels/rpc/codec.h"
#include "kernels/rpc/message_values.h"
#include "kernels/rpc/packed_numbers.h"

// The field numbers are those of protos/shard.proto. Unknown fields are passed
// over, as protobuf wants it.

namespace het {
namespace {

constexpr std::size_t kMaxTables = 65536;

Status DecodeTable(Piece message, NumbersLeft* left,
                   DecodedRequest::Arrays* arrays, TableExchange* table,
                   TrafficBytes* kinds) {
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
            return ReadIds(bytes, left, &arrays->push_ids);
          case 4:
            kinds->clocks += size;
            return ReadClocks(bytes, left, &arrays->push_clocks);
          case 5:
            kinds->gradients += size;
            return CopyArray(bytes, &arrays->push_learning_rates);
          case 6:
            kinds->gradients += size;
            gradients = bytes;
            return OkStatus();
          case 7:
            kinds->ids += size;
            return ReadIds(bytes, left, &arrays->validate_ids);
          case 8:
            kinds->clocks += size;
            return ReadClocks(bytes, left, &arrays->validate_clocks);
          case 9:
            kinds->ids += size;
            return ReadIds(bytes, left, &arrays->fetch_ids);
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

}  // namespace

Status DecodeRequest(const grpc::ByteBuffer& message, DecodedRequest* decoded,
                     TrafficBytes* bytes, std::size_t max_ids) {
  NumbersLeft left{max_ids, max_ids, max_ids};
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
            return DecodeTable(nested, &left, decoded->arrays.back().get(),
                               &request.tables.back(), &kinds);
          }
          default:
            return OkStatus();
        }
      }));
  CountFraming(message, kinds, bytes);
  return OkStatus();
}

}  // namespace het
