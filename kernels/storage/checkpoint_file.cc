#include "kernels/storage/checkpoint_file.h"

#include <utility>

#include "kernels/storage/record_codec.h"

namespace het {
namespace {

enum BlockKind : std::uint32_t { kTable = 1, kRows = 2, kEnd = 4 };

}  // namespace

void RowBlock::clear() {
  ids.clear();
  clocks.clear();
  values.clear();
  slots.clear();
}

std::size_t RowBlock::bytes() const {
  return ids.size() * (sizeof(RowId) + sizeof(Clock)) +
         (values.size() + slots.size()) * sizeof(float);
}

void RowBlock::Append(RowId id, Clock clock, Span<const float> row_values,
                      Span<const float> row_slots) {
  ids.push_back(id);
  clocks.push_back(clock);
  values.insert(values.end(), row_values.begin(), row_values.end());
  slots.insert(slots.end(), row_slots.begin(), row_slots.end());
}

void EncodeTable(const TableRecord& table, Encoder* encoder) {
  encoder->Put(std::uint64_t{table.spec.id()});
  encoder->Put(std::uint64_t{table.spec.dimension});
  encoder->Put(std::uint64_t{table.slots});
  encoder->Put(std::uint64_t{table.spec.seed});
  encoder->Put(std::uint64_t{table.spec.synchronous ? 1u : 0u});
  encoder->Put(std::uint64_t{table.whole ? 1u : 0u});
  encoder->PutString(table.spec.name);
  encoder->PutComponent(table.spec.initializer);
  encoder->PutComponent(table.spec.optimizer);
}

Result<TableRecord> DecodeTable(Decoder* decoder) {
  TableRecord table;
  const auto id = decoder->Take<std::uint64_t>();
  table.spec.dimension = decoder->Take<std::uint64_t>();
  table.slots = decoder->Take<std::uint64_t>();
  table.spec.seed = decoder->Take<std::uint64_t>();
  table.spec.synchronous = decoder->Take<std::uint64_t>() != 0;
  table.whole = decoder->Take<std::uint64_t>() != 0;
  table.spec.name = decoder->TakeString();
  table.spec.initializer = decoder->TakeComponent();
  table.spec.optimizer = decoder->TakeComponent();
  if (!decoder->fits() || table.spec.id() != id ||
      table.slots > 8 * kMaxDimension) {
    return DataLoss("the block does not describe a table");
  }
  const Status valid = Validate(table.spec);
  if (!valid.ok()) {
    return DataLoss("the block describes a table that cannot be: ",
                    valid.message());
  }
  return table;
}

Result<std::unique_ptr<CheckpointWriter>> CheckpointWriter::Create(
    const std::string& path) {
  auto file = BlockFileWriter::Create(path, FileKind::kCheckpoint);
  HET_RETURN_IF_ERROR(file.status());
  return std::unique_ptr<CheckpointWriter>(
      new CheckpointWriter(std::move(file).Take()));
}

Status CheckpointWriter::AddTable(const TableRecord& table) {
  Encoder encoder;
  EncodeTable(table, &encoder);
  const Span<const char> payload = encoder.bytes();
  return file_->Write(kTable, {&payload, 1});
}

Status CheckpointWriter::AddRows(TableId table, const RowBlock& rows) {
  if (rows.empty()) return OkStatus();
  rows_ += rows.ids.size();
  Encoder encoder;
  encoder.Put(std::uint64_t{table});
  encoder.Put(std::uint64_t{rows.ids.size()});
  const Span<const char> pieces[] = {encoder.bytes(), BytesOf(rows.ids),
                                     BytesOf(rows.clocks),
                                     BytesOf(rows.values), BytesOf(rows.slots)};
  return file_->Write(kRows, {pieces, sizeof pieces / sizeof pieces[0]});
}

Status CheckpointWriter::Finish() {
  Encoder encoder;
  encoder.Put(rows_);
  const Span<const char> payload = encoder.bytes();
  HET_RETURN_IF_ERROR(file_->Write(kEnd, {&payload, 1}));
  return file_->Finish();
}

Result<std::unique_ptr<CheckpointReader>> CheckpointReader::Open(
    const std::string& path) {
  auto file = BlockFileReader::Open(path, FileKind::kCheckpoint);
  HET_RETURN_IF_ERROR(file.status());
  return std::unique_ptr<CheckpointReader>(
      new CheckpointReader(std::move(file).Take()));
}

Result<CheckpointReader::Item> CheckpointReader::Next() {
  BlockFileReader::Block block;
  const Result<bool> more = file_->Next(&block);
  HET_RETURN_IF_ERROR(more.status());
  if (!*more) return file_->Damaged("the file has been cut short");
  switch (block.kind) {
    case kTable:
      HET_RETURN_IF_ERROR(ReadTable(block.payload));
      return Item::kTable;
    case kRows:
      HET_RETURN_IF_ERROR(ReadRows(block.payload));
      return Item::kRows;
    case kEnd:
      HET_RETURN_IF_ERROR(ReadEnd(block.payload));
      return Item::kEnd;
    default:
      return file_->Damaged("the block has the unknown kind " +
                            std::to_string(block.kind));
  }
}

Status CheckpointReader::ReadTable(Span<const char> payload) {
  Decoder decoder(payload);
  Result<TableRecord> table = DecodeTable(&decoder);
  if (!table.ok()) return file_->Damaged(table.status().message());
  const TableId id = table->spec.id();
  table_ = &(tables_[id] = std::move(table).Take());
  return OkStatus();
}

Status CheckpointReader::ReadRows(Span<const char> payload) {
  Decoder decoder(payload);
  const auto found = tables_.find(decoder.Take<std::uint64_t>());
  if (found == tables_.end()) {
    return file_->Damaged("rows of a table that the file has not named before");
  }
  table_ = &found->second;
  const auto count = decoder.Take<std::uint64_t>();
  const std::size_t floats = table_->spec.dimension + table_->slots;
  const std::size_t row =
      sizeof(RowId) + sizeof(Clock) + floats * sizeof(float);
  if (!decoder.enough() || count != decoder.left() / row ||
      decoder.left() % row != 0) {
    return file_->Damaged("the block's size does not fit its " +
                          std::to_string(count) + " rows");
  }
  rows_.ids.resize(count);
  rows_.clocks.resize(count);
  rows_.values.resize(count * table_->spec.dimension);
  rows_.slots.resize(count * table_->slots);
  decoder.TakeArray(rows_.ids.data(), count);
  decoder.TakeArray(rows_.clocks.data(), count);
  decoder.TakeArray(rows_.values.data(), rows_.values.size());
  decoder.TakeArray(rows_.slots.data(), rows_.slots.size());
  row_count_ += count;
  return OkStatus();
}

Status CheckpointReader::ReadEnd(Span<const char> payload) {
  Decoder decoder(payload);
  const auto rows = decoder.Take<std::uint64_t>();
  if (!decoder.fits() || rows != row_count_) {
    return file_->Damaged("the file has " + std::to_string(row_count_) +
                          " rows and its end speaks of " +
                          std::to_string(rows));
  }
  BlockFileReader::Block behind;
  const Result<bool> more = file_->Next(&behind);
  HET_RETURN_IF_ERROR(more.status());
  if (*more) return file_->Damaged("something follows the end");
  return OkStatus();
}

}  // namespace het
