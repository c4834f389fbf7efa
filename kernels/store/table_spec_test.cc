// TableSpec and CheckTableExchange: what is refused, in which words.

#include "kernels/store/table_spec.h"

#include <gtest/gtest.h>

#include <functional>

#include "kernels/store/check_request.h"
#include "kernels/testing/owned_request.h"

namespace het {
namespace {

TableSpec Spec() {
  TableSpec spec;
  spec.name = "user";
  spec.dimension = 2;
  return spec;
}

TEST(TableSpec, ItsIdComesFromTheNameAlone) {
  TableSpec other = Spec();
  other.dimension = 5;
  EXPECT_EQ(Spec().id(), other.id());
  other.name = "item";
  EXPECT_NE(Spec().id(), other.id());
}

TEST(TableSpec, ValidateNamesTheTable) {
  EXPECT_TRUE(Validate(Spec()).ok());
  TableSpec spec = Spec();
  spec.dimension = 0;
  EXPECT_EQ(Validate(spec).message(),
            "table 'user' has dimension 0, expected 1 to 1048576");
  spec = Spec();
  spec.dimension = kMaxDimension;
  EXPECT_TRUE(Validate(spec).ok());
  spec = Spec();
  spec.optimizer = {"adam", {}};
  EXPECT_EQ(Validate(spec).message().rfind("table 'user': ", 0), 0u);
  spec = Spec();
  spec.initializer = {"glorot", {}};
  EXPECT_EQ(Validate(spec).message().rfind("table 'user': ", 0), 0u);
  spec.name = "";
  EXPECT_EQ(Validate(spec).code(), StatusCode::kInvalidArgument);
}

TEST(TableSpec, ADifferenceIsNamedWithBothValues) {
  EXPECT_TRUE(CheckSameSpec(Spec(), Spec()).ok());
  TableSpec wanted = Spec();
  wanted.dimension = 3;
  EXPECT_EQ(CheckSameSpec(Spec(), wanted).message(),
            "table 'user' exists with dimension 2, asked for 3: use one "
            "configuration for a table everywhere, or another table name");
  wanted = Spec();
  wanted.name = "item";
  EXPECT_NE(CheckSameSpec(Spec(), wanted).message().find("same 64-bit hash"),
            std::string::npos);
}

Status Check(const std::function<void(OwnedRequest::Table&)>& fill) {
  OwnedRequest request;
  fill(request.Add(Spec().id(), 1));
  return CheckTableExchange(request.request().tables[0], Spec());
}

TEST(CheckTableExchange, AcceptsWhatFits) {
  EXPECT_TRUE(Check([](OwnedRequest::Table&) {}).ok());
  EXPECT_TRUE(Check([](OwnedRequest::Table& t) {
                t.Push(1, 0, 1, {1, 2}).Validate(1, 0).Fetch(2);
              }).ok());
}

TEST(CheckTableExchange, SaysWhatDoesNotFit) {
  EXPECT_EQ(Check([](OwnedRequest::Table& t) {
              t.Push(1, 0, 1, {1, 2}).push_clocks.clear();
            }).message(),
            "table 'user': 1 rows are pushed with 0 clocks and 1 learning "
            "rates; expected one of each per row");
  EXPECT_EQ(Check([](OwnedRequest::Table& t) {
              t.Push(1, 0, 1, {1, 2, 3});
            }).message(),
            "table 'user': 1 rows of dimension 2 are pushed with 3 gradient "
            "values, expected 2");
  EXPECT_EQ(Check([](OwnedRequest::Table& t) {
              t.Validate(1, 0).validate_ids.push_back(2);
            }).message(),
            "table 'user': 2 rows are to be validated with 1 clocks; expected "
            "one per row");
  EXPECT_EQ(Check([](OwnedRequest::Table& t) { t.staleness = -2; }).message(),
            "table 'user': staleness is -2, expected at least 0");
  for (const Status& status :
       {Check([](OwnedRequest::Table& t) { t.Push(1, -1, 1, {1, 2}); }),
        Check([](OwnedRequest::Table& t) { t.Validate(1, -1); })}) {
    EXPECT_EQ(status.message(),
              "table 'user': a clock is negative; clocks start at 0");
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace het
