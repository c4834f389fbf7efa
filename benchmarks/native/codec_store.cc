#include "benchmarks/native/codec_store.h"

#include <utility>

#include "kernels/rpc/codec.h"

namespace het {
namespace {

ExchangeRequest WithFormat(const ExchangeRequest& request, WireFormat format) {
  ExchangeRequest written = request;
  for (TableExchange& table : written.tables) {
    table.row_format = table.gradient_format = format;
  }
  return written;
}

}  // namespace

LinkTraffic& LinkTraffic::operator+=(const LinkTraffic& other) {
  messages += other.messages;
  for (std::size_t f = 0; f < sent.size(); ++f) {
    sent[f] += other.sent[f];
    received[f] += other.received[f];
  }
  return *this;
}

CodecStore::CodecStore(std::shared_ptr<Shard> shard,
                       const CodecStoreOptions& options)
    : shard_(std::move(shard)),
      options_(options),
      zeros_(options.dimension),
      traffic_(options.formats.size()) {}

void CodecStore::Exchange(const ExchangeRequest& request, ExchangeDone done) {
  ++traffic_.messages;
  Result<ExchangeReply> reply =
      options_.formats.empty() ? Ask(request) : ByCodec(request);
  if (!reply.ok()) return done(reply.status(), {});
  done(OkStatus(), std::move(reply).Take());
}

Result<ExchangeReply> CodecStore::ByCodec(const ExchangeRequest& request) {
  std::vector<ExchangeRequest> written;
  for (const WireFormat format : options_.formats) {
    written.push_back(WithFormat(request, format));
  }
  DecodedRequest decoded;
  TrafficBytes unused;
  for (std::size_t f = written.size(); f-- > 0;) {
    const grpc::ByteBuffer message =
        EncodeRequest(written[f], &traffic_.sent[f]);
    if (f != 0) continue;
    HET_RETURN_IF_ERROR(DecodeRequest(message, &decoded, &unused));
  }
  const Result<ExchangeReply> answer = Ask(decoded.request);
  HET_RETURN_IF_ERROR(answer.status());
  ExchangeReply reply;
  for (std::size_t f = written.size(); f-- > 0;) {
    const std::vector<AskedRows> asked = AskedRowsOf(written[f]);
    const grpc::ByteBuffer message =
        EncodeReply(*answer, asked, &traffic_.received[f]);
    if (f != 0) continue;
    HET_RETURN_IF_ERROR(DecodeReply(message, asked, &reply, &unused));
  }
  return reply;
}

Result<ExchangeReply> CodecStore::Ask(const ExchangeRequest& request) {
  Result<ExchangeReply> answer = Internal("the shard has not answered");
  shard_->Exchange(request, [&](Status status, ExchangeReply reply) {
    answer = status.ok() ? Result<ExchangeReply>(std::move(reply))
                         : Result<ExchangeReply>(std::move(status));
  });
  if (!answer.ok() || !options_.trained) return answer;
  ExchangeReply reply = std::move(answer).Take();
  for (TableReply& table : reply.tables) {
    for (std::vector<RowView>* rows : {&table.validated, &table.fetched}) {
      for (RowView& row : *rows) {
        if (!row.initial) continue;
        row.initial = false;
        row.values = zeros_.data();
      }
    }
  }
  return reply;
}

Status CodecStore::CreateTable(const TableSpec& spec) {
  return shard_->CreateTable(spec);
}

Status CodecStore::Assign(TableId table, Staleness staleness,
                          Span<const RowId> ids, Span<const float> rows) {
  return shard_->Assign(table, staleness, ids, rows);
}

Result<std::vector<ShardStats>> CodecStore::Stats() { return shard_->Stats(); }

LinkTraffic CodecStore::Take() {
  return std::exchange(traffic_, LinkTraffic(options_.formats.size()));
}

}  // namespace het
