// TrafficCounter: bytes by kind, added up by any thread.

#ifndef HET_TF_KERNELS_RPC_TRAFFIC_COUNTER_H_
#define HET_TF_KERNELS_RPC_TRAFFIC_COUNTER_H_

#include "kernels/base/mutex.h"
#include "kernels/store/embedding_store.h"

namespace het {

class TrafficCounter {
 public:
  void AddSent(const TrafficBytes& bytes) {
    MutexLock lock(&mutex_);
    ++traffic_.exchanges;
    traffic_.sent += bytes;
  }
  void AddReceived(const TrafficBytes& bytes) {
    MutexLock lock(&mutex_);
    traffic_.received += bytes;
  }
  Traffic traffic() const {
    MutexLock lock(&mutex_);
    return traffic_;
  }

 private:
  mutable Mutex mutex_;
  Traffic traffic_ HET_GUARDED_BY(mutex_);
};

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_TRAFFIC_COUNTER_H_
