// SimulatedNetwork: links between workers and shards on which nothing moves
// until a test says so: requests and answers are delivered, lost or outrun by
// their repeats one at a time, in any order. With the same choices everything
// happens the same way again.
//
// Ownership: a link shares the shard's store and the network; the network owns
// copies of the requests, so a late one may be delivered after its sender has
// given up. Not thread-safe: one thread runs workers, shards and network.

#ifndef HET_TF_KERNELS_TESTING_SIMULATED_NETWORK_H_
#define HET_TF_KERNELS_TESTING_SIMULATED_NETWORK_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/store/embedding_store.h"
#include "kernels/testing/owned_request.h"

namespace het {

class SimulatedNetwork : public std::enable_shared_from_this<SimulatedNetwork> {
 public:
  enum class Action {
    kDeliverRequest,  // the shard gets it (and may let it wait for its turn)
    kDeliverReply,    // the worker gets it
    kLoseRequest,     // the worker is told UNAVAILABLE, the shard gets nothing
    kLoseReply,       // the same after the shard has answered
    kGiveUp,          // the worker is told DEADLINE_EXCEEDED; it may yet arrive
  };
  struct Event {
    Action action;
    std::size_t message;
  };

  // The way of one worker to one shard.
  std::shared_ptr<EmbeddingStore> Link(std::size_t worker, std::size_t shard,
                                       std::shared_ptr<EmbeddingStore> store);

  // What can happen now, in a fixed order; faults only when asked for.
  std::vector<Event> Possible(bool with_faults) const;
  void Happen(const Event& event);
  // Forgets every message: what it and its sender share would otherwise keep
  // each other alive.
  void Close();
  static bool IsFault(const Event& event) {
    return event.action != Action::kDeliverRequest &&
           event.action != Action::kDeliverReply;
  }

  std::size_t worker_of(const Event& event) const {
    return messages_[event.message]->worker;
  }
  std::size_t shard_of(const Event& event) const {
    return messages_[event.message]->shard;
  }
  // Number of the message on its link, from 1.
  std::size_t number_of(const Event& event) const {
    return messages_[event.message]->number;
  }
  std::size_t messages() const { return messages_.size(); }

 private:
  class LinkStore;
  enum class Place { kOnTheWay, kAtShard, kAnswered, kGone };
  struct Message {
    std::size_t worker, shard, number;
    std::shared_ptr<EmbeddingStore> to;
    OwnedRequest request;
    EmbeddingStore::ExchangeDone done;  // empty: the worker has given up
    Place place = Place::kOnTheWay;
    Status status;
    ExchangeReply reply;
  };

  std::vector<std::shared_ptr<Message>> messages_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_TESTING_SIMULATED_NETWORK_H_
