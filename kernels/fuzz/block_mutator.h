// Changes files of blocks (storage/block_file.h) so that what lies behind their
// checksums is reached: a block is changed as a whole, then the file is put
// together again, numbered and with its checksums. Now and then a file is
// damaged instead.
//
// Pure functions, but for libFuzzer's LLVMFuzzerMutate.

#ifndef HET_TF_KERNELS_FUZZ_BLOCK_MUTATOR_H_
#define HET_TF_KERNELS_FUZZ_BLOCK_MUTATOR_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace het {

// A file of blocks, taken apart. Whatever the bytes are, Join(Split(bytes)) has
// no checksum that is wrong, in front of `rest`.
struct SplitFile {
  struct Block {
    std::uint32_t kind = 0;
    std::string payload;
  };

  std::string header;  // 24 bytes, or what there is
  std::vector<Block> blocks;
  std::string rest;  // that is no whole block
};

SplitFile Split(const std::string& bytes);
std::string Join(const SplitFile& file);

// Changes the bytes in their place; at most `most` are left.
void MutateBytes(std::string* bytes, std::size_t most);
void MutateFile(std::string* bytes, std::size_t most, std::minstd_rand* random);

}  // namespace het

#endif  // HET_TF_KERNELS_FUZZ_BLOCK_MUTATOR_H_
