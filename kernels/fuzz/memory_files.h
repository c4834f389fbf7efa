// Files for readers that want one: a directory that is made once and emptied for
// every input. It lies in TMPDIR, which tools/check/fuzz.py has in memory.
//
// Ownership: the directory goes with the object; what a killed program leaves goes
// with TMPDIR. Thread-safety: none.

#ifndef HET_TF_KERNELS_FUZZ_MEMORY_FILES_H_
#define HET_TF_KERNELS_FUZZ_MEMORY_FILES_H_

#include <cstdint>
#include <string>

#include "kernels/base/span.h"

namespace het {

class MemoryDirectory {
 public:
  MemoryDirectory();
  ~MemoryDirectory();
  MemoryDirectory(const MemoryDirectory&) = delete;
  MemoryDirectory& operator=(const MemoryDirectory&) = delete;

  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  void Write(const std::string& name, Span<const std::uint8_t> bytes);
  std::string Read(const std::string& name) const;
  // Removes all files.
  void Clear();

 private:
  std::string path_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_FUZZ_MEMORY_FILES_H_
