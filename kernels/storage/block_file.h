// BlockFileWriter and BlockFileReader: a file of blocks, each with a checksum of
// its header and one of its payload, behind a header that says what the file is.
// docs/checkpoints.md has the format byte by byte.
//
// A file gets its name when all of it is on the disk: it is written under another
// name, synced and renamed. A log has its name from the beginning. Whatever happens
// to a byte of either, a reader says so.
//
// Checksums are zlib's CRC-32, so that any language can verify a file.
//
// Ownership: each owns its file descriptor. Thread-safety: none.

#ifndef HET_TF_KERNELS_STORAGE_BLOCK_FILE_H_
#define HET_TF_KERNELS_STORAGE_BLOCK_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/span.h"
#include "kernels/base/status.h"

namespace het {

enum class FileKind : std::uint32_t { kCheckpoint = 1, kLog = 2, kLogBase = 3 };

// That a file has been created, renamed or removed in it lasts.
Status SyncDirectory(const std::string& directory);
// What anybody has written to it lasts.
Status SyncFile(const std::string& path);

class BlockFileWriter {
 public:
  // Every error names the file; a disk that is full is RESOURCE_EXHAUSTED.
  static Result<std::unique_ptr<BlockFileWriter>> Create(
      const std::string& path, FileKind kind);
  // A file that is not finished, but grows until it is closed: what has been
  // written survives the end of the process, what has been synced more.
  // ALREADY_EXISTS: there is such a file.
  static Result<std::unique_ptr<BlockFileWriter>> CreateLog(
      const std::string& path, FileKind kind);
  // Without Finish nothing of the file stays, unless it is a log.
  ~BlockFileWriter();
  BlockFileWriter(const BlockFileWriter&) = delete;
  BlockFileWriter& operator=(const BlockFileWriter&) = delete;

  // The payload is the pieces one after the other.
  Status Write(std::uint32_t kind, Span<const Span<const char>> pieces) {
    return Write(kind, pieces, PayloadChecksum(pieces));
  }
  // The same in two steps, the first of which needs no writer.
  static std::uint32_t PayloadChecksum(Span<const Span<const char>> pieces);
  Status Write(std::uint32_t kind, Span<const Span<const char>> pieces,
               std::uint32_t payload_checksum);
  Status Sync();
  // Syncs the file and gives it its name, then syncs the directory.
  Status Finish();

  std::uint64_t bytes() const { return bytes_; }

 private:
  BlockFileWriter(std::string path, std::string temporary, int file);
  static Result<std::unique_ptr<BlockFileWriter>> Create(
      const std::string& path, const std::string& temporary, int flags,
      FileKind kind);
  Status WriteAll(Span<const Span<const char>> pieces);
  Status Failed(const char* what) const;

  const std::string path_;
  const std::string temporary_;  // of a log its name
  int file_;
  bool finished_ = false;
  std::uint32_t blocks_ = 0;
  std::uint64_t bytes_ = 0;
};

class BlockFileReader {
 public:
  struct Block {
    std::uint32_t kind = 0;
    Span<const char> payload;  // until the next call
  };

  // NOT_FOUND when there is no such file, DATA_LOSS when it is not one of this
  // kind, FAILED_PRECONDITION when a later version has written it.
  static Result<std::unique_ptr<BlockFileReader>> Open(const std::string& path,
                                                       FileKind kind);
  ~BlockFileReader();
  BlockFileReader(const BlockFileReader&) = delete;
  BlockFileReader& operator=(const BlockFileReader&) = delete;

  // False at the end of the file. DATA_LOSS names the file, the block and where
  // it begins.
  Result<bool> Next(Block* block);
  // DATA_LOSS about the block that Next has given, or about the file's end.
  Status Damaged(const std::string& what) const;

  // Of a log whose next block is damaged: whether that is a write that has not
  // been completed, so that nothing was promised of it, and not damage done to
  // what had been written: nothing that makes sense comes behind it. Bytes of a
  // file whose machine failed may be there and yet be wrong (`synced`: what was
  // promised had been synced); of one whose process ended they are missing.
  Result<bool> EndsTorn(bool synced);
  // Where the next block, or the one that is damaged, begins.
  std::uint64_t block_begin() const { return block_begin_; }

  std::uint64_t bytes() const { return position_; }

 private:
  BlockFileReader(std::string path, int file, std::uint64_t size);
  Status Read(char* to, std::size_t bytes);

  const std::string path_;
  const int file_;
  const std::uint64_t size_;
  std::uint64_t position_ = 0;
  std::uint64_t block_begin_ = 0;
  std::uint32_t next_block_ = 0;
  std::vector<char> payload_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_STORAGE_BLOCK_FILE_H_
