#include "kernels/storage/block_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace het {
namespace {

constexpr char kMagic[] = {'H', 'E', 'T', 'T', 'F', 'R', 'O', 'W'};
constexpr std::uint32_t kVersion = 1;

// Both headers end with the checksum of what comes before it. The processors
// that this runs on are little-endian, as the format is.
struct FileHeader {
  char magic[sizeof kMagic];
  std::uint32_t version;
  std::uint32_t kind;
  std::uint32_t unused;
  std::uint32_t checksum;
};
static_assert(sizeof(FileHeader) == 24);

// Not in the order of the bytes' alignment for nothing: no padding.
struct BlockHeader {
  std::uint32_t kind;
  std::uint32_t payload_checksum;
  std::uint64_t payload_bytes;
  std::uint32_t number;
  std::uint32_t checksum;
};
static_assert(sizeof(BlockHeader) == 24);
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

std::uint32_t Checksum(std::uint32_t before, Span<const char> bytes) {
  // zlib takes null for "begin anew".
  if (bytes.empty()) return before;
  return static_cast<std::uint32_t>(
      crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()),
              bytes.size()));
}

template <typename Header>
std::uint32_t ChecksumOf(const Header& header) {
  return Checksum(0, {reinterpret_cast<const char*>(&header),
                      sizeof header - sizeof header.checksum});
}

template <typename Header>
Span<const char> BytesOf(const Header& header) {
  return {reinterpret_cast<const char*>(&header), sizeof header};
}

Status SystemError(int error, const std::string& what) {
  const std::string text = what + ": " + std::strerror(error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return ResourceExhausted(text);
    case ENOENT:
      return NotFound(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return Status(StatusCode::kPermissionDenied, text);
    default:
      return Internal(text);
  }
}

std::string DirectoryOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

namespace {

Status SyncPath(const std::string& path, int flags) {
  const int handle = open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (handle < 0) return SystemError(errno, "cannot open " + path);
  const int synced = fsync(handle) == 0 ? 0 : errno;
  close(handle);
  return synced == 0 ? OkStatus() : SystemError(synced, "cannot sync " + path);
}

}  // namespace

Status SyncDirectory(const std::string& directory) {
  return SyncPath(directory, O_DIRECTORY);
}

Status SyncFile(const std::string& path) { return SyncPath(path, 0); }

Result<std::unique_ptr<BlockFileWriter>> BlockFileWriter::Create(
    const std::string& path, FileKind kind) {
  return Create(path, path + ".tmp", O_TRUNC, kind);
}

Result<std::unique_ptr<BlockFileWriter>> BlockFileWriter::CreateLog(
    const std::string& path, FileKind kind) {
  return Create(path, path, O_EXCL, kind);
}

Result<std::unique_ptr<BlockFileWriter>> BlockFileWriter::Create(
    const std::string& path, const std::string& temporary, int flags,
    FileKind kind) {
  const int file = open(temporary.c_str(),
                        O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
  if (file < 0) return SystemError(errno, "cannot create " + temporary);
  std::unique_ptr<BlockFileWriter> writer(
      new BlockFileWriter(path, temporary, file));
  FileHeader header = {};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.kind = static_cast<std::uint32_t>(kind);
  header.checksum = ChecksumOf(header);
  const Span<const char> bytes = BytesOf(header);
  HET_RETURN_IF_ERROR(writer->WriteAll({&bytes, 1}));
  return writer;
}

BlockFileWriter::BlockFileWriter(std::string path, std::string temporary,
                                 int file)
    : path_(std::move(path)), temporary_(std::move(temporary)), file_(file) {}

BlockFileWriter::~BlockFileWriter() {
  if (file_ >= 0) close(file_);
  if (!finished_ && temporary_ != path_) unlink(temporary_.c_str());
}

std::uint32_t BlockFileWriter::PayloadChecksum(
    Span<const Span<const char>> pieces) {
  std::uint32_t checksum = 0;
  for (const Span<const char>& piece : pieces) {
    checksum = Checksum(checksum, piece);
  }
  return checksum;
}

Status BlockFileWriter::Write(std::uint32_t kind,
                              Span<const Span<const char>> pieces,
                              std::uint32_t payload_checksum) {
  BlockHeader header = {};
  header.kind = kind;
  header.payload_checksum = payload_checksum;
  header.number = blocks_++;
  for (const Span<const char>& piece : pieces) {
    header.payload_bytes += piece.size();
  }
  header.checksum = ChecksumOf(header);
  std::vector<Span<const char>> all = {BytesOf(header)};
  all.insert(all.end(), pieces.begin(), pieces.end());
  return WriteAll(all);
}

Status BlockFileWriter::WriteAll(Span<const Span<const char>> pieces) {
  std::vector<iovec> left;
  for (const Span<const char>& piece : pieces) {
    if (!piece.empty()) {
      left.push_back({const_cast<char*>(piece.data()), piece.size()});
    }
  }
  for (std::size_t first = 0; first < left.size();) {
    const int count = static_cast<int>(
        std::min<std::size_t>(left.size() - first, 64));
    const ssize_t written = writev(file_, &left[first], count);
    if (written < 0) {
      if (errno == EINTR) continue;
      return Failed("cannot write");
    }
    bytes_ += static_cast<std::uint64_t>(written);
    std::size_t rest = static_cast<std::size_t>(written);
    while (first < left.size() && rest >= left[first].iov_len) {
      rest -= left[first++].iov_len;
    }
    if (rest > 0) {
      left[first].iov_base = static_cast<char*>(left[first].iov_base) + rest;
      left[first].iov_len -= rest;
    }
  }
  return OkStatus();
}

Status BlockFileWriter::Sync() {
  return fdatasync(file_) == 0 ? OkStatus() : Failed("cannot sync");
}

Status BlockFileWriter::Finish() {
  if (fsync(file_) != 0) return Failed("cannot sync");
  if (close(std::exchange(file_, -1)) != 0) return Failed("cannot close");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    return Failed("cannot rename");
  }
  finished_ = true;
  return SyncDirectory(DirectoryOf(path_));
}

Status BlockFileWriter::Failed(const char* what) const {
  return SystemError(errno, std::string(what) + " " + temporary_ + " at byte " +
                                std::to_string(bytes_));
}

Result<std::unique_ptr<BlockFileReader>> BlockFileReader::Open(
    const std::string& path, FileKind kind) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return SystemError(errno, "cannot open " + path);
  struct stat about = {};
  const int failed = fstat(file, &about) == 0 ? 0 : errno;
  std::unique_ptr<BlockFileReader> reader(new BlockFileReader(
      path, file, static_cast<std::uint64_t>(about.st_size)));
  if (failed != 0) return SystemError(failed, "cannot read " + path);
  FileHeader header;
  HET_RETURN_IF_ERROR(
      reader->Read(reinterpret_cast<char*>(&header), sizeof header));
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    return reader->Damaged("it does not begin as a file of rows does");
  }
  if (header.checksum != ChecksumOf(header)) {
    return reader->Damaged("the checksum of its header is wrong");
  }
  if (header.version != kVersion) {
    return FailedPrecondition(path, " has version ", header.version,
                              " of the format, this het_tf reads version ",
                              kVersion, ": use a later het_tf");
  }
  if (header.kind != static_cast<std::uint32_t>(kind)) {
    return reader->Damaged("it is a file of kind " +
                           std::to_string(header.kind) + ", expected kind " +
                           std::to_string(static_cast<std::uint32_t>(kind)));
  }
  return reader;
}

BlockFileReader::BlockFileReader(std::string path, int file,
                                 std::uint64_t size)
    : path_(std::move(path)), file_(file), size_(size) {}

BlockFileReader::~BlockFileReader() { close(file_); }

Result<bool> BlockFileReader::Next(Block* block) {
  block_begin_ = position_;
  if (position_ == size_) return false;
  BlockHeader header;
  HET_RETURN_IF_ERROR(Read(reinterpret_cast<char*>(&header), sizeof header));
  if (header.checksum != ChecksumOf(header)) {
    return Damaged("the checksum of the block's header is wrong");
  }
  if (header.number != next_block_) {
    return Damaged("block " + std::to_string(next_block_) +
                   " is expected there, number " +
                   std::to_string(header.number) + " was found");
  }
  if (header.payload_bytes > size_ - position_) {
    return Damaged("the file ends inside of the block");
  }
  payload_.resize(header.payload_bytes);
  HET_RETURN_IF_ERROR(Read(payload_.data(), payload_.size()));
  if (header.payload_checksum != Checksum(0, payload_)) {
    return Damaged("the block's checksum is wrong");
  }
  ++next_block_;
  *block = {header.kind, payload_};
  return true;
}

Status BlockFileReader::Read(char* to, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t got = read(file_, to, bytes);
    if (got < 0) {
      if (errno == EINTR) continue;
      return SystemError(errno, "cannot read " + path_ + " at byte " +
                                    std::to_string(position_));
    }
    if (got == 0) return Damaged("the file ends inside of a header or block");
    to += got;
    bytes -= static_cast<std::size_t>(got);
    position_ += static_cast<std::uint64_t>(got);
  }
  return OkStatus();
}

Result<bool> BlockFileReader::EndsTorn(bool synced) {
  std::vector<char> rest(size_ - block_begin_);
  position_ = block_begin_;
  if (lseek(file_, static_cast<off_t>(block_begin_), SEEK_SET) < 0) {
    return SystemError(errno, "cannot read " + path_);
  }
  HET_RETURN_IF_ERROR(Read(rest.data(), rest.size()));
  BlockHeader header;
  const auto header_at = [&](std::size_t at) {
    if (rest.size() - at < sizeof header) return false;
    std::memcpy(&header, &rest[at], sizeof header);
    return header.number >= next_block_ &&
           header.payload_bytes <= rest.size() - at - sizeof header &&
           header.checksum == ChecksumOf(header);
  };
  // Any later block that is whole was written after this one.
  for (std::size_t at = 1; at + sizeof header <= rest.size(); ++at) {
    if (!header_at(at) || header.number == next_block_) continue;
    const Span<const char> payload(&rest[at] + sizeof header,
                                   header.payload_bytes);
    if (header.payload_checksum == Checksum(0, payload)) return false;
  }
  return synced || !header_at(0);
}

Status BlockFileReader::Damaged(const std::string& what) const {
  return DataLoss(path_, " is damaged at byte ", block_begin_, ": ", what,
                  "; restore an earlier checkpoint, or bring the file back from "
                  "a copy ('het-tf checkpoint verify' finds every damaged file)");
}

}  // namespace het
