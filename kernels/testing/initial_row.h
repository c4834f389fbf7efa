// The values of a row that nobody has pushed to, for tests that read what a store
// answers without a cache in between.
//
// Pure functions.

#ifndef HET_TF_KERNELS_TESTING_INITIAL_ROW_H_
#define HET_TF_KERNELS_TESTING_INITIAL_ROW_H_

#include <vector>

#include "kernels/initializer/initializer.h"
#include "kernels/store/exchange.h"
#include "kernels/store/table_spec.h"

namespace het {

inline std::vector<float> InitialRow(const TableSpec& table, RowId id) {
  std::vector<float> row(table.dimension);
  (*CreateInitializer(table.initializer, table.seed))
      ->Fill(table.id(), id, row.size(), row.data());
  return row;
}

// The row as its reader has it.
inline std::vector<float> ValuesOf(const RowView& row, const TableSpec& table,
                                   RowId id) {
  if (row.initial) return InitialRow(table, id);
  return {row.values, row.values + table.dimension};
}

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_INITIAL_ROW_H_
