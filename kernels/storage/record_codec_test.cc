// Decoder: nothing comes of a payload that is too short.

#include "kernels/storage/record_codec.h"

#include <gtest/gtest.h>

#include "kernels/storage/checkpoint_file.h"
#include "kernels/storage/log_records.h"

namespace het {
namespace {

// Else who takes things until nothing is left, as many as the payload says, would
// take them until there is no memory.
TEST(Decoder, NothingIsLeftOfAPayloadThatIsTooShort) {
  const char payload[11] = {};
  Decoder numbers({payload, sizeof payload});
  numbers.Take<std::uint64_t>();
  EXPECT_TRUE(numbers.enough());
  EXPECT_EQ(numbers.left(), 3u);
  numbers.Take<std::uint64_t>();
  EXPECT_FALSE(numbers.enough());
  EXPECT_EQ(numbers.left(), 0u);
  EXPECT_FALSE(numbers.fits());

  Encoder encoder;
  encoder.Put(std::uint32_t{100});
  encoder.Put(std::uint32_t{0});
  Decoder text(encoder.bytes());
  EXPECT_EQ(text.TakeString(), "");
  EXPECT_FALSE(text.enough());
  EXPECT_EQ(text.left(), 0u);
}

// No record is taken for one that ends where it is cut off.
TEST(ReplayRecord, PayloadsThatAreTooShortAreRefused) {
  for (const std::uint32_t kind : {kLogHead, kLogExchange, kLogAssign}) {
    for (std::size_t size = 0; size < 60; ++size) {
      SCOPED_TRACE(std::to_string(kind) + " of " + std::to_string(size));
      // As many things as there could be, and one more.
      Encoder encoder;
      encoder.Put(std::uint64_t{1});
      encoder.Put(std::uint64_t{size});
      encoder.Put(std::uint64_t{size});
      encoder.Put(std::uint64_t{size});
      std::string payload(encoder.bytes().data(), encoder.bytes().size());
      payload.resize(size);
      const Status status =
          ReplayRecord({kind, {payload.data(), payload.size()}}, nullptr);
      EXPECT_EQ(status.code(), StatusCode::kDataLoss);
    }
  }
}

}  // namespace
}  // namespace het
