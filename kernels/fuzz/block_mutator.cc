#include "kernels/fuzz/block_mutator.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/fuzz/target.h"

// Of programs without libFuzzer, whose own is the strong one: they mutate nothing.
__attribute__((weak)) std::size_t LLVMFuzzerMutate(std::uint8_t*,
                                                   std::size_t size,
                                                   std::size_t) {
  return size;
}

namespace het {
namespace {

// As docs/checkpoints.md has them; both headers end with their checksum.
constexpr std::size_t kHeader = 24;
constexpr std::size_t kChecksum = kHeader - 4;
constexpr std::size_t kPayloadChecksum = 4;
constexpr std::size_t kPayloadBytes = 8;
constexpr std::size_t kNumber = 16;

// Those that are in use, and one that is not.
constexpr std::uint32_t kKinds[] = {1,  2,  4,  16, 17,
                                    18, 19, 20, 21, 99};

template <typename Number>
Number Get(const std::string& bytes, std::size_t at) {
  Number number;
  std::memcpy(&number, &bytes[at], sizeof number);
  return number;
}

template <typename Number>
void Put(Number number, std::size_t at, std::string* bytes) {
  std::memcpy(&(*bytes)[at], &number, sizeof number);
}

std::uint32_t Checksum(const std::string& bytes, std::size_t size) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), size));
}

void Seal(std::string* header) {
  if (header->size() == kHeader) {
    Put(Checksum(*header, kChecksum), kChecksum, header);
  }
}

std::size_t Below(std::size_t end, std::minstd_rand* random) {
  return (*random)() % end;
}

void MutateBlocks(std::size_t most, std::minstd_rand* random, SplitFile* file) {
  std::vector<SplitFile::Block>& blocks = file->blocks;
  const std::uint32_t kind = kKinds[Below(std::size(kKinds), random)];
  if (blocks.empty()) {
    blocks.push_back({kind, {}});
    return MutateBytes(&blocks[0].payload, most);
  }
  const std::size_t at = Below(blocks.size(), random);
  switch (Below(16, random)) {
    case 0:
      blocks[at].kind = kind;
      break;
    case 1:
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 2:
      std::swap(blocks[at], blocks[Below(blocks.size(), random)]);
      break;
    case 3: {
      const SplitFile::Block copy = blocks[Below(blocks.size(), random)];
      blocks.insert(blocks.begin() + static_cast<std::ptrdiff_t>(at), copy);
      break;
    }
    case 4:
      MutateBytes(&file->header, kHeader);
      break;
    case 5:
      MutateBytes(&file->rest, 2 * kHeader);
      break;
    default:
      MutateBytes(&blocks[at].payload, most);
  }
}

}  // namespace

SplitFile Split(const std::string& bytes) {
  SplitFile file;
  file.header = bytes.substr(0, kHeader);
  std::size_t at = file.header.size();
  while (bytes.size() - at >= kHeader) {
    const auto size = Get<std::uint64_t>(bytes, at + kPayloadBytes);
    if (size > bytes.size() - at - kHeader) break;
    file.blocks.push_back(
        {Get<std::uint32_t>(bytes, at), bytes.substr(at + kHeader, size)});
    at += kHeader + size;
  }
  file.rest = bytes.substr(at);
  return file;
}

std::string Join(const SplitFile& file) {
  std::string bytes = file.header;
  Seal(&bytes);
  std::uint32_t number = 0;
  for (const SplitFile::Block& block : file.blocks) {
    std::string header(kHeader, '\0');
    Put(block.kind, 0, &header);
    Put(Checksum(block.payload, block.payload.size()), kPayloadChecksum, &header);
    Put(std::uint64_t{block.payload.size()}, kPayloadBytes, &header);
    Put(number++, kNumber, &header);
    Seal(&header);
    bytes += header + block.payload;
  }
  return bytes + file.rest;
}

void MutateBytes(std::string* bytes, std::size_t most) {
  const std::size_t size = std::min(bytes->size(), most);
  bytes->resize(most);
  bytes->resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(bytes->data()),
                                 size, most));
}

void MutateFile(std::string* bytes, std::size_t most, std::minstd_rand* random) {
  // Damage, which checksums are for.
  if (Below(16, random) == 0) return MutateBytes(bytes, most);
  SplitFile file = Split(*bytes);
  for (std::size_t i = 1 + Below(3, random); i > 0; --i) {
    MutateBlocks(most, random, &file);
  }
  *bytes = Join(file);
  if (bytes->size() > most) bytes->resize(most);
}

}  // namespace het
