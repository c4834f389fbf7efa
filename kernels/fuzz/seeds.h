// The inputs that every fuzz target begins with, made by the product's own
// writers: kernels/fuzz/corpus has them, seeds_main.cc writes them there and
// seeds_test.cc compares.
//
// Pure functions: the same bytes every time.

#ifndef HET_TF_KERNELS_FUZZ_SEEDS_H_
#define HET_TF_KERNELS_FUZZ_SEEDS_H_

#include <map>
#include <string>

namespace het {

using Seeds = std::map<std::string, std::string>;  // by name

Seeds RequestSeeds();
Seeds ReplySeeds();
Seeds CheckpointSeeds();
Seeds LogSeeds();

// "TARGET/NAME.bin" -> what is in it.
Seeds AllSeeds();

}  // namespace het

#endif  // HET_TF_KERNELS_FUZZ_SEEDS_H_
