// Status and Result: codes, messages and how errors pass through functions.

#include "kernels/base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace het {
namespace {

TEST(Status, IsOkWithoutAMessage) {
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(OkStatus().code(), StatusCode::kOk);
  EXPECT_EQ(Status().ToString(), "OK");
}

TEST(Status, FactoriesStreamTheirArguments) {
  const Status status = InvalidArgument("dimension is ", 0, ", expected ", 1.5);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "dimension is 0, expected 1.5");
  EXPECT_EQ(status.ToString(),
            "INVALID_ARGUMENT: dimension is 0, expected 1.5");
}

TEST(Status, EveryFactoryHasItsOwnCode) {
  EXPECT_EQ(Cancelled("x").code(), StatusCode::kCancelled);
  EXPECT_EQ(DeadlineExceeded("x").code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(NotFound("x").code(), StatusCode::kNotFound);
  EXPECT_EQ(AlreadyExists("x").code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(ResourceExhausted("x").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(FailedPrecondition("x").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Aborted("x").code(), StatusCode::kAborted);
  EXPECT_EQ(OutOfRange("x").code(), StatusCode::kOutOfRange);
  EXPECT_EQ(Unimplemented("x").code(), StatusCode::kUnimplemented);
  EXPECT_EQ(Internal("x").code(), StatusCode::kInternal);
  EXPECT_EQ(Unavailable("x").code(), StatusCode::kUnavailable);
  EXPECT_EQ(DataLoss("x").code(), StatusCode::kDataLoss);
}

// The numbers are gRPC's: a status crosses the wire unchanged.
TEST(Status, NamesAndNumbersAreGrpcs) {
  const char* const names[] = {
      "OK",           "CANCELLED",         "UNKNOWN",
      "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
      "ALREADY_EXISTS",   "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
      "FAILED_PRECONDITION", "ABORTED",     "OUT_OF_RANGE",
      "UNIMPLEMENTED", "INTERNAL",         "UNAVAILABLE",
      "DATA_LOSS",    "UNAUTHENTICATED"};
  for (int code = 0; code <= 16; ++code) {
    EXPECT_STREQ(StatusCodeName(static_cast<StatusCode>(code)), names[code]);
  }
  EXPECT_STREQ(StatusCodeName(static_cast<StatusCode>(99)), "UNKNOWN");
}

TEST(Status, ContextIsPutBeforeTheMessageAndKeepsTheCode) {
  const Status status = Unavailable("refused").WithContext("shard 1");
  EXPECT_EQ(status.ToString(), "UNAVAILABLE: shard 1: refused");
  EXPECT_TRUE(OkStatus().WithContext("shard 1").ok());
  EXPECT_EQ(OkStatus().WithContext("shard 1").message(), "");
}

Status FailsOnNegative(int value) {
  if (value < 0) return OutOfRange("negative");
  return OkStatus();
}

Status Passes(int value, bool* reached) {
  HET_RETURN_IF_ERROR(FailsOnNegative(value));
  *reached = true;
  return OkStatus();
}

TEST(Status, ReturnIfErrorReturnsErrorsOnly) {
  bool reached = false;
  EXPECT_EQ(Passes(-1, &reached).code(), StatusCode::kOutOfRange);
  EXPECT_FALSE(reached);
  EXPECT_TRUE(Passes(1, &reached).ok());
  EXPECT_TRUE(reached);
}

TEST(Result, HoldsAValueOrAStatus) {
  const Result<int> value(7);
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, 7);
  const Result<int> error(NotFound("nothing"));
  EXPECT_FALSE(error.ok());
  EXPECT_EQ(error.status().code(), StatusCode::kNotFound);
}

TEST(Result, GivesAwayWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(3));
  const std::unique_ptr<int> taken = std::move(result).Take();
  EXPECT_EQ(*taken, 3);
}

}  // namespace
}  // namespace het
