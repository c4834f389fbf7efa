// The files of a log's directory as one input, for the targets that read such a
// directory.
//
// Input: a byte whose lowest bit says whether what was promised had been synced;
// then file after file: a byte that names it (kLogFileNames, modulo their
// number), its size in two bytes, the smaller one first, and what it holds.
//
// Plain values and functions.

#ifndef HET_TF_KERNELS_FUZZ_LOG_FILES_INPUT_H_
#define HET_TF_KERNELS_FUZZ_LOG_FILES_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/fuzz/memory_files.h"
#include "kernels/storage/push_log.h"

namespace het {

inline constexpr const char* kLogFileNames[] = {
    "segment-1.het", "segment-2.het", "segment-3.het",
    "base-2.het",    "rows-2-0.het",  "rows-2-1.het"};

struct LogFilesInput {
  Durability durability = Durability::kPageCache;
  std::vector<std::pair<std::uint8_t, std::string>> files;
};

// Any bytes are an input: what is missing at the end is.
LogFilesInput ParseLogFiles(Span<const std::uint8_t> bytes);
std::string Serialize(const LogFilesInput& input);

// Makes the directory what the input says.
void Write(const LogFilesInput& input, MemoryDirectory* directory);

// As LLVMFuzzerCustomMutator: one of the files is changed (MutateFile).
std::size_t MutateLogFiles(std::uint8_t* data, std::size_t size,
                           std::size_t most, unsigned int seed);

}  // namespace het

#endif  // HET_TF_KERNELS_FUZZ_LOG_FILES_INPUT_H_
