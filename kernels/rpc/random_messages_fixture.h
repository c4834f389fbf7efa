// Random exchanges and their bytes, for the tests of the codec.
//
// Pure functions of the generator given to them.

#ifndef HET_TF_KERNELS_RPC_RANDOM_MESSAGES_FIXTURE_H_
#define HET_TF_KERNELS_RPC_RANDOM_MESSAGES_FIXTURE_H_

#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/rpc/codec.h"
#include "kernels/testing/owned_request.h"

namespace het {

inline std::string Bytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// In `pieces` slices, the first of which starts at an odd address.
inline grpc::ByteBuffer Buffer(const std::string& bytes, std::size_t pieces = 1) {
  std::vector<grpc::Slice> slices;
  const std::size_t step = bytes.size() / pieces + 1;
  for (std::size_t from = 0; from < bytes.size(); from += step) {
    const std::string part = "x" + bytes.substr(from, step);
    slices.push_back(grpc::Slice(part).sub(1, part.size()));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

inline constexpr RowId kLowest = std::numeric_limits<RowId>::min();
inline constexpr RowId kHighest = std::numeric_limits<RowId>::max();

inline RowId DrawId(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0: return static_cast<RowId>(random());
    case 1: return static_cast<RowId>(random() % 100);
    case 2: return random() % 2 == 0 ? kLowest : kHighest;
    default: return -static_cast<RowId>(random() % (1 << 30));
  }
}

inline Clock DrawClock(std::mt19937_64& random) {
  return static_cast<Clock>(random() >> (1 + random() % 63));
}

inline std::vector<float> DrawFloats(std::mt19937_64& random, std::size_t count) {
  std::vector<float> values(count);
  for (float& value : values) {
    const auto bits = static_cast<std::uint32_t>(random());
    std::memcpy(&value, &bits, sizeof value);  // NaNs and denormals too
  }
  return values;
}

inline void Draw(std::mt19937_64& random, std::size_t most, OwnedRequest* request) {
  request->header = {random(), random(), random() >> random() % 64};
  const std::size_t tables = random() % 4;
  for (std::size_t t = 0; t < tables; ++t) {
    OwnedRequest::Table& table = request->Add(
        random(), random() % 4 == 0 ? kUnboundedStaleness : DrawClock(random));
    table.round = random() % 2 == 0 ? 0 : random() >> random() % 64;
    const std::size_t dimension = 1 + random() % 9;
    const bool one_rate = random() % 2 == 0;
    for (std::size_t i = random() % most; i > 0; --i) {
      table.Push(DrawId(random), DrawClock(random),
                 one_rate ? 0.5f : static_cast<float>(i),
                 DrawFloats(random, dimension));
    }
    for (std::size_t i = random() % most; i > 0; --i) {
      table.Validate(DrawId(random), DrawClock(random));
    }
    for (std::size_t i = random() % most; i > 0; --i) {
      table.Fetch(DrawId(random));
    }
  }
}

struct Reply {
  ExchangeReply reply;
  std::vector<AskedRows> asked;
};

// One row in four is initial.
inline Reply DrawReply(std::mt19937_64& random, std::size_t most) {
  Reply drawn;
  const std::size_t tables = random() % 4;
  for (std::size_t t = 0; t < tables; ++t) {
    const std::size_t dimension = 1 + random() % 9;
    const bool scales = random() % 2 == 0;
    const float initial_scale = random() % 2 == 0 ? 1.0f : 0.25f;
    const bool initials = random() % 2 == 0;
    TableReply table;
    table.dimension = dimension;
    const auto row = [&] {
      if (initials && random() % 4 == 0) {
        return RowView{nullptr, 0, initial_scale, true};
      }
      auto values = std::make_shared<std::vector<float>>(
          DrawFloats(random, dimension));
      drawn.reply.buffers.push_back(values);
      return RowView{values->data(), DrawClock(random),
                     scales ? static_cast<float>(random() % 7) : 1.0f};
    };
    for (std::size_t i = random() % most; i > 0; --i) {
      table.validated.push_back(random() % 2 == 0 ? RowView{} : row());
    }
    for (std::size_t i = random() % most; i > 0; --i) {
      table.fetched.push_back(row());
    }
    drawn.asked.push_back({table.validated.size(), table.fetched.size()});
    drawn.reply.tables.push_back(std::move(table));
  }
  return drawn;
}

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_RANDOM_MESSAGES_FIXTURE_H_
