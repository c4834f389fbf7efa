#include "kernels/testing/store_contract.h"

#include <limits>
#include <utility>

namespace het {

std::string NameOfStoreContractCase(
    const testing::TestParamInfo<StoreContractCase>& info) {
  internal::LinkStoreContractReads();
  internal::LinkStoreContractPushes();
  internal::LinkStoreContractAdministration();
  internal::LinkStoreContractCheckpoints();
  return info.param.name;
}

void StoreContract::SetUp() {
  deployment_ = GetParam().deploy();
  ASSERT_NE(deployment_, nullptr);
  store_ = deployment_->NewWorker();
  ASSERT_NE(store_, nullptr);
}

const std::vector<RowId>& StoreContract::AwkwardIds() {
  constexpr RowId kLowest = std::numeric_limits<RowId>::min();
  constexpr RowId kHighest = std::numeric_limits<RowId>::max();
  static const auto* const ids = new std::vector<RowId>{
      0,
      1,
      -1,
      -2,
      (1 << 24) + 1,
      -(1 << 24) - 1,
      1 << 24,
      (RowId{1} << 53) + 1,
      RowId{1} << 53,
      -(RowId{1} << 53) - 1,
      kLowest,
      kLowest + 1,
      kHighest,
      kHighest - 1,
      RowId{1} << 62};
  return *ids;
}

TableSpec StoreContract::PlainTable(const std::string& name) {
  TableSpec spec;
  spec.name = name;
  spec.dimension = 2;
  spec.initializer = {"zeros", {}};
  return spec;
}

TableSpec StoreContract::AdagradTable(const std::string& name) {
  TableSpec spec;
  spec.name = name;
  spec.dimension = 2;
  spec.seed = 7;
  spec.optimizer = {"adagrad", {}};
  return spec;
}

ExchangeReply StoreContract::Exchange(EmbeddingStore& store,
                                      OwnedRequest& request) {
  auto reply = ExchangeAndWait(store, request.request());
  EXPECT_TRUE(reply.ok()) << reply.status().ToString();
  if (!reply.ok()) return {};
  EXPECT_EQ(reply->tables.size(), request.tables.size());
  for (std::size_t t = 0; t < reply->tables.size(); ++t) {
    EXPECT_EQ(reply->tables[t].fetched.size(),
              request.tables[t].fetch_ids.size());
    EXPECT_EQ(reply->tables[t].validated.size(),
              request.tables[t].validate_ids.size());
  }
  return std::move(reply).Take();
}

Status StoreContract::ExchangeStatus(EmbeddingStore& store,
                                     OwnedRequest& request) {
  return ExchangeAndWait(store, request.request()).status();
}

void StoreContract::Push(EmbeddingStore& store, TableId table, RowId id,
                         Clock clock, const std::vector<float>& gradient,
                         float learning_rate) {
  OwnedRequest request;
  request.Add(table).Push(id, clock, learning_rate, gradient);
  Exchange(store, request);
}

StoreContract::Row StoreContract::ToRow(const RowView& view,
                                        std::size_t dimension) {
  Row row{{}, view.clock, view.step_scale, view.initial};
  if (view.values != nullptr) {
    row.values.assign(view.values, view.values + dimension);
  }
  return row;
}

StoreContract::Row StoreContract::Fetch(EmbeddingStore& store, TableId table,
                                        RowId id) {
  OwnedRequest request;
  request.Add(table).Fetch(id);
  const ExchangeReply reply = Exchange(store, request);
  if (reply.tables.empty() || reply.tables[0].fetched.empty()) return {};
  return ToRow(reply.tables[0].fetched[0], reply.tables[0].dimension);
}

std::int64_t StoreContract::StoredRows(EmbeddingStore& store,
                                       const std::string& table) {
  const auto stats = store.Stats();
  EXPECT_TRUE(stats.ok()) << stats.status().ToString();
  std::int64_t rows = 0;
  for (const ShardStats& shard : *stats) {
    for (const TableStats& entry : shard.tables) {
      if (entry.name == table) rows += entry.rows;
    }
  }
  return rows;
}

}  // namespace het
