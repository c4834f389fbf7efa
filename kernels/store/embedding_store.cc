#include "kernels/store/embedding_store.h"

#include <future>
#include <utility>

namespace het {

Result<ExchangeReply> ExchangeAndWait(EmbeddingStore& store,
                                      const ExchangeRequest& request) {
  std::promise<std::pair<Status, ExchangeReply>> promise;
  auto future = promise.get_future();
  store.Exchange(request, [&promise](Status status, ExchangeReply reply) {
    promise.set_value({std::move(status), std::move(reply)});
  });
  auto [status, reply] = future.get();
  if (!status.ok()) return std::move(status);
  return std::move(reply);
}

}  // namespace het
