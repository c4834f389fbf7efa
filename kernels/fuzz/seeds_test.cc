// The committed inputs are what today's writers write: a format that has changed
// is fuzzed in its new form.

#include "kernels/fuzz/seeds.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "kernels/fuzz/block_mutator.h"

namespace het {
namespace {

TEST(FuzzSeeds, TheCommittedOnesAreTheWriters) {
  const std::filesystem::path folder = "kernels/fuzz/corpus";
  for (const auto& [name, bytes] : AllSeeds()) {
    std::ifstream file(folder / name, std::ios::binary);
    const std::string committed{std::istreambuf_iterator<char>(file), {}};
    EXPECT_TRUE(committed == bytes)
        << folder / name
        << " is not what is written now: make fuzz-seeds writes it anew";
  }
}

TEST(FuzzSeeds, FilesTakenApartAndPutTogetherAreTheSame) {
  for (const auto& [name, bytes] : CheckpointSeeds()) {
    if (name == "damaged") continue;
    EXPECT_TRUE(Join(Split(bytes)) == bytes) << name;
  }
}

TEST(FuzzSeeds, ChecksumsAreMadeRight) {
  const Seeds seeds = CheckpointSeeds();
  EXPECT_FALSE(seeds.at("damaged") == seeds.at("sgd"));
  std::string damaged = seeds.at("sgd");
  damaged[20] ^= 1;  // of the file's header
  damaged[44] ^= 1;  // of the first block's
  EXPECT_TRUE(Join(Split(damaged)) == seeds.at("sgd"));
}

}  // namespace
}  // namespace het
