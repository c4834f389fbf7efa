// The files of a push log's directory: their numbers, and what holds and removes
// them. Plain functions.

#ifndef HET_TF_KERNELS_STORAGE_LOG_FILES_H_
#define HET_TF_KERNELS_STORAGE_LOG_FILES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "kernels/base/status.h"

namespace het {

// "segment-12.het" -> 12 for the prefix "segment-"; nothing for other names.
std::optional<std::uint64_t> NumberIn(const std::string& name,
                                      const std::string& prefix);

// The file under a second name that nobody takes away; where the file system has
// no links, or is another one, a copy, which is synced.
Status HoldFile(const std::string& from, const std::string& to);

// Segments, bases and held files with a smaller number. What cannot be removed is
// superfluous, not harmful.
void RemoveLogFilesBefore(const std::string& directory, std::uint64_t number);

}  // namespace het

#endif  // HET_TF_KERNELS_STORAGE_LOG_FILES_H_
