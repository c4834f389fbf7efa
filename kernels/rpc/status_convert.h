// het::Status to grpc::Status and back: same code, same text.

#ifndef HET_TF_KERNELS_RPC_STATUS_CONVERT_H_
#define HET_TF_KERNELS_RPC_STATUS_CONVERT_H_

#include <grpcpp/support/status.h>

#include "kernels/base/status.h"

namespace het {

inline grpc::Status ToGrpc(const Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      status.message());
}

inline Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return OkStatus();
  return Status(static_cast<StatusCode>(status.error_code()),
                status.error_message());
}

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_STATUS_CONVERT_H_
