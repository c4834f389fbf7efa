// Status and Result<T>: how every layer below TensorFlow reports failure.
//
// The codes are gRPC's canonical ones with the same numbers, so that a status
// crosses the wire and the TensorFlow boundary unchanged in kind. A status is
// a value: it owns its message, and it is as thread-safe as an int. Standard
// library only: TensorFlow-facing files and RPC files both include it.

#ifndef HET_TF_KERNELS_BASE_STATUS_H_
#define HET_TF_KERNELS_BASE_STATUS_H_

#include <cassert>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

namespace het {

enum class StatusCode : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "INVALID_ARGUMENT", as gRPC spells it.
const char* StatusCodeName(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message)
      : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // "UNAVAILABLE: shard 1 (localhost:4001): connection refused", or "OK".
  std::string ToString() const;

  // The same code with `context` and a colon put before the message.
  Status WithContext(const std::string& context) const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status OkStatus() { return Status(); }

// Error factories; the arguments are streamed into the message:
//   return InvalidArgument("dimension must be at least 1, got ", dimension);
namespace internal {
template <typename... Parts>
std::string StreamToString(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}
}  // namespace internal

#define HET_DEFINE_ERROR(Name, Code)                                        \
  template <typename... Parts>                                              \
  Status Name(const Parts&... parts) {                                      \
    return Status(StatusCode::Code, internal::StreamToString(parts...));    \
  }
HET_DEFINE_ERROR(Cancelled, kCancelled)
HET_DEFINE_ERROR(InvalidArgument, kInvalidArgument)
HET_DEFINE_ERROR(DeadlineExceeded, kDeadlineExceeded)
HET_DEFINE_ERROR(NotFound, kNotFound)
HET_DEFINE_ERROR(AlreadyExists, kAlreadyExists)
HET_DEFINE_ERROR(ResourceExhausted, kResourceExhausted)
HET_DEFINE_ERROR(FailedPrecondition, kFailedPrecondition)
HET_DEFINE_ERROR(Aborted, kAborted)
HET_DEFINE_ERROR(OutOfRange, kOutOfRange)
HET_DEFINE_ERROR(Unimplemented, kUnimplemented)
HET_DEFINE_ERROR(Internal, kInternal)
HET_DEFINE_ERROR(Unavailable, kUnavailable)
HET_DEFINE_ERROR(DataLoss, kDataLoss)
#undef HET_DEFINE_ERROR

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: implicit by design
  Result(Status status) : status_(std::move(status)) {  // NOLINT
    assert(!status_.ok());
  }

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }

  // REQUIRES: ok().
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  T Take() && { return *std::move(value_); }

 private:
  Status status_;
  std::optional<T> value_;
};

// Returns from the enclosing function when `expression` is not OK.
#define HET_RETURN_IF_ERROR(expression)          \
  do {                                           \
    ::het::Status het_status_ = (expression);    \
    if (!het_status_.ok()) return het_status_;   \
  } while (false)

}  // namespace het

#endif  // HET_TF_KERNELS_BASE_STATUS_H_
