// Checkpoint files: tables and rows come back bit for bit; a file that does not
// make sense, though its checksums are right, is refused.

#include "kernels/storage/checkpoint_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "kernels/storage/record_codec.h"
#include "kernels/testing/checkpoint_site.h"

namespace het {
namespace {

TableRecord Record(const std::string& name) {
  TableRecord record;
  record.spec.name = name;
  record.spec.dimension = 2;
  record.spec.seed = 77;
  record.spec.initializer = {"uniform", {{"minval", -0.5}, {"maxval", 0.25}}};
  record.spec.optimizer = {"adagrad", {{"epsilon", 1e-7}}};
  record.slots = 2;
  record.whole = true;
  return record;
}

class CheckpointFile : public testing::Test {
 protected:
  std::string path() const { return site_.directory() + "/shard"; }
  std::unique_ptr<CheckpointWriter> Writer() const {
    auto writer = CheckpointWriter::Create(path());
    EXPECT_TRUE(writer.ok()) << writer.status().ToString();
    return std::move(writer).Take();
  }
  // What is wrong with the file.
  Status ReadAll() const {
    auto reader = CheckpointReader::Open(path());
    HET_RETURN_IF_ERROR(reader.status());
    while (true) {
      const auto item = (*reader)->Next();
      HET_RETURN_IF_ERROR(item.status());
      if (*item == CheckpointReader::Item::kEnd) return OkStatus();
    }
  }

  CheckpointSite site_;
};

TEST_F(CheckpointFile, TablesAndRowsComeBack) {
  RowBlock rows;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> values = {-0.0f, nan}, slots = {1e-40f, 3};
  rows.Append(std::numeric_limits<RowId>::min(), 5, values, slots);
  rows.Append(7, std::numeric_limits<Clock>::max(), slots, values);
  {
    const auto writer = Writer();
    ASSERT_TRUE(writer->AddTable(Record("a")).ok());
    TableRecord plain = Record("b");
    plain.spec.optimizer = {"none", {}};
    plain.spec.synchronous = true;
    plain.slots = 0;
    plain.whole = false;
    ASSERT_TRUE(writer->AddTable(plain).ok());
    ASSERT_TRUE(writer->AddRows(Record("a").spec.id(), rows).ok());
    ASSERT_TRUE(writer->AddRows(Record("a").spec.id(), {}).ok());
    ASSERT_TRUE(writer->Finish().ok());
    EXPECT_EQ(writer->rows(), 2u);
  }
  auto reader = CheckpointReader::Open(path());
  ASSERT_TRUE(reader.ok()) << reader.status().ToString();
  using Item = CheckpointReader::Item;
  auto item = (*reader)->Next();
  ASSERT_TRUE(item.ok() && *item == Item::kTable);
  EXPECT_TRUE(CheckSameSpec(Record("a").spec, (*reader)->table().spec).ok());
  EXPECT_EQ((*reader)->table().spec.optimizer, Record("a").spec.optimizer);
  EXPECT_EQ((*reader)->table().slots, 2u);
  EXPECT_TRUE((*reader)->table().whole);
  item = (*reader)->Next();
  ASSERT_TRUE(item.ok() && *item == Item::kTable);
  EXPECT_TRUE((*reader)->table().spec.synchronous);
  EXPECT_FALSE((*reader)->table().whole);
  item = (*reader)->Next();
  ASSERT_TRUE(item.ok() && *item == Item::kRows);
  EXPECT_EQ((*reader)->table().spec.name, "a");
  EXPECT_EQ((*reader)->rows().ids, rows.ids);
  EXPECT_EQ((*reader)->rows().clocks, rows.clocks);
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() &&
           std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  EXPECT_TRUE(same((*reader)->rows().values, rows.values));
  EXPECT_TRUE(same((*reader)->rows().slots, rows.slots));
  item = (*reader)->Next();
  ASSERT_TRUE(item.ok() && *item == Item::kEnd);
}

TEST_F(CheckpointFile, AFileWithoutItsEndIsRefused) {
  const auto file = BlockFileWriter::Create(path(), FileKind::kCheckpoint);
  ASSERT_TRUE((*file)->Finish().ok());
  const Status status = ReadAll();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("cut short"), std::string::npos);
}

TEST_F(CheckpointFile, BlocksThatMakeNoSenseAreRefused) {
  const auto refused = [&](std::uint32_t kind, const std::string& payload,
                           const std::string& why) {
    auto file = BlockFileWriter::Create(path(), FileKind::kCheckpoint);
    const Span<const char> piece(payload.data(), payload.size());
    ASSERT_TRUE((*file)->Write(kind, {&piece, 1}).ok());
    ASSERT_TRUE((*file)->Finish().ok());
    const Status status = ReadAll();
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << why;
    EXPECT_NE(status.message().find(why), std::string::npos)
        << status.ToString();
  };
  refused(1, "short", "does not describe a table");
  refused(1, std::string(200, '\xff'), "does not describe a table");
  refused(2, std::string(16, '\0'), "has not named");
  refused(3, "", "unknown kind 3");
  refused(4, std::string(8, '\1'), "its end speaks of");
  refused(4, "", "its end speaks of");
}

TEST_F(CheckpointFile, RowsHaveTheSizeThatTheirTableSays) {
  RowBlock rows;
  const std::vector<float> values = {1, 2};
  rows.Append(1, 1, values, {});  // the table has slots
  {
    const auto writer = Writer();
    ASSERT_TRUE(writer->AddTable(Record("a")).ok());
    ASSERT_TRUE(writer->AddRows(Record("a").spec.id(), rows).ok());
    ASSERT_TRUE(writer->Finish().ok());
  }
  EXPECT_EQ(ReadAll().code(), StatusCode::kDataLoss);
}

// Not even a block of none goes without saying so.
TEST_F(CheckpointFile, RowsSayHowManyTheyAre) {
  for (const std::size_t size : {8, 12}) {
    auto file = BlockFileWriter::Create(path(), FileKind::kCheckpoint);
    Encoder table, rows, end;
    EncodeTable(Record("a"), &table);
    rows.Put(std::uint64_t{Record("a").spec.id()});
    rows.Put(std::uint32_t{0});
    end.Put(std::uint64_t{0});
    const Span<const char> pieces[] = {
        table.bytes(), rows.bytes().subspan(0, size), end.bytes()};
    for (const std::uint32_t kind : {1, 2, 4}) {
      ASSERT_TRUE((*file)->Write(kind, {&pieces[kind / 2], 1}).ok());
    }
    ASSERT_TRUE((*file)->Finish().ok());
    EXPECT_EQ(ReadAll().code(), StatusCode::kDataLoss) << size;
  }
}

}  // namespace
}  // namespace het
