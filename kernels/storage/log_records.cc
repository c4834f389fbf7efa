#include "kernels/storage/log_records.h"

#include <algorithm>
#include <cstddef>
#include <deque>

#include "kernels/storage/checkpoint_file.h"
#include "kernels/storage/record_codec.h"

namespace het {
namespace {

template <typename Number>
std::vector<Number> TakeVector(Decoder* decoder, std::size_t size) {
  // A size that is not to be believed ends the decoding, not the memory.
  std::vector<Number> numbers(
      std::min(size, decoder->left() / sizeof(Number) + 1));
  decoder->TakeArray(numbers.data(), numbers.size());
  return numbers;
}

// The arrays of a request whose views they are.
struct ReplayedExchange {
  ExchangeRequest request;
  std::deque<std::vector<RowId>> ids;
  std::deque<std::vector<Clock>> clocks;
  std::deque<std::vector<float>> floats;

  bool Decode(Decoder* decoder) {
    request.header.worker = decoder->Take<std::uint64_t>();
    request.header.sequence = decoder->Take<std::uint64_t>();
    const auto tables = decoder->Take<std::uint64_t>();
    for (std::uint64_t t = 0; t < tables && decoder->left() > 0; ++t) {
      TableExchange table;
      table.table = decoder->Take<std::uint64_t>();
      table.round = decoder->Take<std::uint64_t>();
      const auto rows = decoder->Take<std::uint64_t>();
      const auto values = decoder->Take<std::uint64_t>();
      ids.push_back(TakeVector<RowId>(decoder, rows));
      clocks.push_back(TakeVector<Clock>(decoder, rows));
      floats.push_back(TakeVector<float>(decoder, rows));
      table.push_ids = ids.back();
      table.push_clocks = clocks.back();
      table.push_learning_rates = floats.back();
      floats.push_back(TakeVector<float>(decoder, values));
      table.push_gradients = floats.back();
      request.tables.push_back(table);
    }
    return decoder->fits() && request.tables.size() == tables;
  }
};

Status BadRecord() { return DataLoss("the block is no record of a log"); }

}  // namespace

std::string EncodeHead(const LogHead& head) {
  Encoder encoder;
  encoder.Put(std::uint64_t{head.shard});
  encoder.Put(std::uint64_t{head.workers.size()});
  for (const auto& [worker, next] : head.workers) {
    encoder.Put(std::uint64_t{worker});
    encoder.Put(std::uint64_t{next});
  }
  const Span<const char> bytes = encoder.bytes();
  return std::string(bytes.data(), bytes.size());
}

std::string EncodeLoggedTable(const TableSpec& spec) {
  Encoder encoder;
  EncodeTable({spec, 0, false}, &encoder);
  const Span<const char> bytes = encoder.bytes();
  return std::string(bytes.data(), bytes.size());
}

Status ReplayRecord(const BlockFileReader::Block& block,
                    LogReplayer* replayer) {
  Decoder decoder(block.payload);
  switch (block.kind) {
    case kLogHead: {
      LogHead head;
      head.shard = decoder.Take<std::uint64_t>();
      const auto workers = decoder.Take<std::uint64_t>();
      for (std::uint64_t w = 0; w < workers && decoder.left() > 0; ++w) {
        const auto worker = decoder.Take<std::uint64_t>();
        head.workers.push_back({worker, decoder.Take<std::uint64_t>()});
      }
      if (!decoder.fits() || head.workers.size() != workers) return BadRecord();
      return replayer->Head(head);
    }
    case kLogTable: {
      const Result<TableRecord> table = DecodeTable(&decoder);
      HET_RETURN_IF_ERROR(table.status());
      return replayer->Table(table->spec);
    }
    case kLogExchange: {
      ReplayedExchange exchange;
      if (!exchange.Decode(&decoder)) return BadRecord();
      return replayer->Exchange(exchange.request);
    }
    case kLogAssign: {
      const auto table = decoder.Take<std::uint64_t>();
      const auto staleness = decoder.Take<std::int64_t>();
      const auto rows = decoder.Take<std::uint64_t>();
      const auto values = decoder.Take<std::uint64_t>();
      const auto ids = TakeVector<RowId>(&decoder, rows);
      const auto floats = TakeVector<float>(&decoder, values);
      if (!decoder.fits()) return BadRecord();
      return replayer->Assign(table, staleness, ids, floats);
    }
    case kLogRefusal: {
      ExchangeHeader header;
      header.worker = decoder.Take<std::uint64_t>();
      header.sequence = decoder.Take<std::uint64_t>();
      const auto code = decoder.Take<std::uint32_t>();
      const std::string message = decoder.TakeString();
      constexpr auto kLast = static_cast<std::uint32_t>(StatusCode::kUnauthenticated);
      if (!decoder.fits() || header.sequence == 0 || code == 0 || code > kLast) {
        return BadRecord();
      }
      return replayer->Refusal(header,
                               Status(static_cast<StatusCode>(code), message));
    }
    case kLogDrop: {
      const auto table = decoder.Take<std::uint64_t>();
      if (!decoder.fits()) return BadRecord();
      return replayer->Drop(table);
    }
    default:
      return BadRecord();
  }
}

}  // namespace het
