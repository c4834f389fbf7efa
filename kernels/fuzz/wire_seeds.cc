#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/fuzz/message_bytes.h"
#include "kernels/fuzz/seeds.h"
#include "kernels/testing/owned_request.h"

namespace het {
namespace {

constexpr std::size_t kDimension = 3;

std::vector<float> Values(std::size_t row) {
  const auto start = static_cast<float>(row);
  return {start + 0.5f, -start, 1000 * start};
}

void Push(std::size_t rows, OwnedRequest::Table* table) {
  for (std::size_t i = 0; i < rows; ++i) {
    table->Push(static_cast<RowId>(i * i) - 4, static_cast<Clock>(300 + i),
                0.25f, Values(i));
  }
}

using Fill = std::function<void(OwnedRequest*)>;

const std::map<std::string, Fill>& Fills() {
  static const std::map<std::string, Fill> fills = {
      {"empty", [](OwnedRequest*) {}},
      {"push", [](OwnedRequest* request) { Push(4, &request->Add(11, 2)); }},
      {"rates",
       [](OwnedRequest* request) {
         OwnedRequest::Table& table = request->Add(11, kUnboundedStaleness);
         Push(3, &table);
         table.push_learning_rates = {0.5f, 0.25f, 0.125f};
       }},
      {"round",
       [](OwnedRequest* request) {
         OwnedRequest::Table& table = request->Add(11);
         Push(2, &table);
         table.round = 17;
         table.Fetch(3);
       }},
      {"read",
       [](OwnedRequest* request) {
         OwnedRequest::Table& table = request->Add(12, 100);
         for (RowId id = -3; id < 9; ++id) {
           table.Validate(id, 1000000 + id).Fetch(id * id * id);
         }
         table.Fetch(std::numeric_limits<RowId>::min());
         table.Fetch(std::numeric_limits<RowId>::max());
       }},
      {"tables",
       [](OwnedRequest* request) {
         Push(1, &request->Add(11));
         request->Add(12, 5).Fetch(1).Fetch(1);
         request->Add(13).Validate(2, 0);
         request->Add(14);
       }},
  };
  return fills;
}

ExchangeReply ReplyOf(const std::vector<RowView>& validated,
                      const std::vector<RowView>& fetched) {
  ExchangeReply reply;
  reply.tables.push_back({kDimension, validated, fetched});
  return reply;
}

// Rows that have values; their memory is the program's.
RowView Row(std::size_t i, float step_scale) {
  static const std::vector<float> values = [] {
    std::vector<float> all;
    for (std::size_t row = 0; row < 16; ++row) {
      for (const float value : Values(row)) all.push_back(value);
    }
    return all;
  }();
  return {&values[i * kDimension], static_cast<Clock>(500 + 7 * i), step_scale};
}

std::map<std::string, ExchangeReply> Replies() {
  const RowView initial{nullptr, 0, 0.5f, true};
  const RowView valid;
  std::map<std::string, ExchangeReply> replies = {
      {"valid", ReplyOf({valid, valid, valid}, {})},
      {"stale", ReplyOf({valid, Row(1, 1), valid, Row(2, 1)}, {})},
      {"fetched", ReplyOf({}, {Row(0, 1), Row(1, 1), Row(5, 1)})},
      {"initial", ReplyOf({}, {initial, initial, Row(3, 1), initial})},
      {"scales", ReplyOf({Row(1, 0.25f), valid}, {Row(2, 2), initial})},
      {"none", ExchangeReply()},
  };
  ExchangeReply& many = replies["tables"];
  for (const char* name : {"valid", "scales", "initial"}) {
    many.tables.push_back(replies[name].tables[0]);
  }
  return replies;
}

std::vector<AskedRows> AskedBy(const ExchangeReply& reply, WireFormat format) {
  std::vector<AskedRows> asked;
  for (const TableReply& table : reply.tables) {
    asked.push_back({table.validated.size(), table.fetched.size(), format});
  }
  return asked;
}

}  // namespace

Seeds RequestSeeds() {
  Seeds seeds;
  std::uint8_t shape = 0;
  for (const auto& [name, fill] : Fills()) {
    for (std::size_t f = 0; f < kWireFormats; ++f) {
      const auto format = static_cast<WireFormat>(f);
      OwnedRequest request;
      request.header = {0x1111111111111111, 0x2222222222222222, 77};
      fill(&request);
      for (OwnedRequest::Table& table : request.tables) {
        table.row_format = format;
        table.gradient_format = format;
      }
      TrafficBytes kinds;
      seeds[name + "_" + ToString(format)] =
          static_cast<char>(shape++) +
          TextOf(EncodeRequest(request.request(), &kinds));
      if (request.tables.empty()) break;
    }
  }
  return seeds;
}

Seeds ReplySeeds() {
  Seeds seeds;
  std::uint8_t shape = 0;
  for (const auto& [name, reply] : Replies()) {
    for (std::size_t f = 0; f < kWireFormats; ++f) {
      const auto format = static_cast<WireFormat>(f);
      const std::vector<AskedRows> asked = AskedBy(reply, format);
      std::string bytes(1, static_cast<char>(shape++));
      bytes += static_cast<char>(asked.size());
      for (const AskedRows& table : asked) {
        bytes += static_cast<char>(table.validated);
        bytes += static_cast<char>(table.fetched);
        bytes += static_cast<char>(f);
      }
      TrafficBytes kinds;
      seeds[name + "_" + ToString(format)] =
          bytes + TextOf(EncodeReply(reply, asked, &kinds));
      if (asked.empty()) break;
    }
  }
  return seeds;
}

}  // namespace het
