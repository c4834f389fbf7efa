// Block files: what is written comes back; whatever is wrong with a byte of a
// file is said.

#include "kernels/storage/block_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "kernels/testing/checkpoint_site.h"

namespace het {
namespace {

class BlockFile : public testing::Test {
 protected:
  std::string path() const { return site_.directory() + "/file"; }

  static Status WriteBlock(BlockFileWriter& writer, std::uint32_t kind,
                           const std::vector<std::string>& pieces) {
    std::vector<Span<const char>> spans;
    for (const std::string& piece : pieces) {
      spans.push_back({piece.data(), piece.size()});
      spans.push_back({});
    }
    return writer.Write(kind, spans);
  }
  void WriteFile() {
    auto writer = BlockFileWriter::Create(path(), FileKind::kCheckpoint);
    ASSERT_TRUE(writer.ok()) << writer.status().ToString();
    ASSERT_TRUE(WriteBlock(**writer, 7, {"one", "", "two"}).ok());
    ASSERT_TRUE(WriteBlock(**writer, 8, {}).ok());
    ASSERT_TRUE(WriteBlock(**writer, 9, {std::string(5000, 'x')}).ok());
    ASSERT_TRUE((*writer)->Finish().ok());
  }
  // The blocks, or what is wrong.
  Result<std::vector<std::string>> ReadFile() const {
    auto reader = BlockFileReader::Open(path(), FileKind::kCheckpoint);
    HET_RETURN_IF_ERROR(reader.status());
    std::vector<std::string> blocks;
    while (true) {
      BlockFileReader::Block block;
      const auto more = (*reader)->Next(&block);
      HET_RETURN_IF_ERROR(more.status());
      if (!*more) return blocks;
      blocks.push_back(std::to_string(block.kind) + ":" +
                       std::string(block.payload.data(), block.payload.size()));
    }
  }
  std::string Bytes() const {
    std::ifstream in(path(), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  void Overwrite(const std::string& bytes) const {
    std::ofstream(path(), std::ios::binary) << bytes;
  }

  CheckpointSite site_;
};

TEST_F(BlockFile, WhatIsWrittenComesBack) {
  WriteFile();
  const auto blocks = ReadFile();
  ASSERT_TRUE(blocks.ok()) << blocks.status().ToString();
  EXPECT_EQ(*blocks, (std::vector<std::string>{
                         "7:onetwo", "8:", "9:" + std::string(5000, 'x')}));
}

TEST_F(BlockFile, EveryChangedByteIsFound) {
  WriteFile();
  const std::string good = Bytes();
  for (std::size_t i = 0; i < good.size(); ++i) {
    if (i > 200 && i + 100 < good.size() && i % 97 != 0) continue;
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    Overwrite(bad);
    const Status status = ReadFile().status();
    ASSERT_EQ(status.code(), StatusCode::kDataLoss)
        << "byte " << i << ": " << status.ToString();
    EXPECT_NE(status.message().find(path()), std::string::npos);
    EXPECT_NE(status.message().find("earlier checkpoint"), std::string::npos);
  }
}

TEST_F(BlockFile, AFileThatIsCutInsideABlockIsFound) {
  WriteFile();
  const std::string good = Bytes();
  std::size_t whole = 0;
  for (std::size_t size = 0; size < good.size(); ++size) {
    Overwrite(good.substr(0, size));
    const auto blocks = ReadFile();
    if (blocks.ok()) {
      ++whole;  // between two blocks: the end is the checkpoint file's to check
    } else {
      ASSERT_EQ(blocks.status().code(), StatusCode::kDataLoss) << size;
    }
  }
  EXPECT_EQ(whole, 3u);
}

TEST_F(BlockFile, BlocksThatChangedPlacesAreFound) {
  WriteFile();
  const std::string good = Bytes();
  // Header, a block of 6 bytes, an empty block.
  const std::string first = good.substr(24, 30), second = good.substr(54, 24);
  Overwrite(good.substr(0, 24) + second + first + good.substr(78));
  EXPECT_EQ(ReadFile().status().code(), StatusCode::kDataLoss);
}

TEST_F(BlockFile, AFileHasItsNameOnlyWhenItIsComplete) {
  {
    auto writer = BlockFileWriter::Create(path(), FileKind::kCheckpoint);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(WriteBlock(**writer, 1, {"abc"}).ok());
    EXPECT_FALSE(std::filesystem::exists(path()));
  }
  EXPECT_FALSE(std::filesystem::exists(path()));
  EXPECT_FALSE(std::filesystem::exists(path() + ".tmp"));
  EXPECT_EQ(ReadFile().status().code(), StatusCode::kNotFound);
}

TEST_F(BlockFile, AWriteThatFailsIsAnErrorAndLeavesTheOldFile) {
  WriteFile();
  const std::string good = Bytes();
  rlimit old = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = 2000;  // the write is cut short, and its rest fails
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Status status;
  {
    auto writer = BlockFileWriter::Create(path(), FileKind::kCheckpoint);
    ASSERT_TRUE(writer.ok());
    status = WriteBlock(**writer, 1, {std::string(5000, 'y')});
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  signal(SIGXFSZ, handler);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find(path() + ".tmp at byte 2000"),
            std::string::npos)
      << status.ToString();
  EXPECT_EQ(Bytes(), good);
  EXPECT_FALSE(std::filesystem::exists(path() + ".tmp"));
}

TEST_F(BlockFile, AFileThatCannotBeCreatedIsAnErrorWithItsName) {
  const auto writer = BlockFileWriter::Create(
      site_.directory() + "/nowhere/file", FileKind::kCheckpoint);
  EXPECT_EQ(writer.status().code(), StatusCode::kNotFound);
  EXPECT_NE(writer.status().message().find("nowhere/file"), std::string::npos);
}

}  // namespace
}  // namespace het
