#include "kernels/testing/simulated_network.h"

#include <utility>

#include "kernels/testing/wrapped_store.h"

namespace het {

class SimulatedNetwork::LinkStore final : public WrappedStore {
 public:
  LinkStore(std::shared_ptr<SimulatedNetwork> network, std::size_t worker,
            std::size_t shard, std::shared_ptr<EmbeddingStore> store)
      : WrappedStore(std::move(store)),
        network_(std::move(network)),
        worker_(worker),
        shard_(shard) {}

  void Exchange(const ExchangeRequest& request, ExchangeDone done) override {
    auto message = std::make_shared<Message>();
    message->worker = worker_;
    message->shard = shard_;
    message->number = ++sent_;
    message->to = shared_store();
    message->request.CopyFrom(request);
    message->done = std::move(done);
    network_->messages_.push_back(std::move(message));
  }

 private:
  const std::shared_ptr<SimulatedNetwork> network_;
  const std::size_t worker_;
  const std::size_t shard_;
  std::size_t sent_ = 0;
};

std::shared_ptr<EmbeddingStore> SimulatedNetwork::Link(
    std::size_t worker, std::size_t shard,
    std::shared_ptr<EmbeddingStore> store) {
  return std::make_shared<LinkStore>(shared_from_this(), worker, shard,
                                     std::move(store));
}

std::vector<SimulatedNetwork::Event> SimulatedNetwork::Possible(
    bool with_faults) const {
  std::vector<Event> events;
  for (std::size_t m = 0; m < messages_.size(); ++m) {
    const Message& message = *messages_[m];
    const bool awaited = message.done != nullptr;
    switch (message.place) {
      case Place::kOnTheWay:
        events.push_back({Action::kDeliverRequest, m});
        if (with_faults && awaited) {
          events.push_back({Action::kLoseRequest, m});
          events.push_back({Action::kGiveUp, m});
        }
        break;
      case Place::kAtShard:
        if (with_faults && awaited) events.push_back({Action::kGiveUp, m});
        break;
      case Place::kAnswered:
        events.push_back({Action::kDeliverReply, m});
        if (with_faults) events.push_back({Action::kLoseReply, m});
        break;
      case Place::kGone:
        break;
    }
  }
  return events;
}

void SimulatedNetwork::Happen(const Event& event) {
  const std::shared_ptr<Message> message = messages_[event.message];
  switch (event.action) {
    case Action::kDeliverRequest:
      message->place = Place::kAtShard;
      message->to->Exchange(
          message->request.request(),
          [message](Status status, ExchangeReply reply) {
            if (message->done == nullptr) {
              message->place = Place::kGone;
              return;
            }
            message->place = Place::kAnswered;
            message->status = std::move(status);
            message->reply = std::move(reply);
          });
      return;
    case Action::kDeliverReply: {
      message->place = Place::kGone;
      const auto done = std::exchange(message->done, nullptr);
      done(std::move(message->status), std::move(message->reply));
      return;
    }
    case Action::kLoseRequest:
    case Action::kLoseReply: {
      message->place = Place::kGone;
      message->reply = {};
      const auto done = std::exchange(message->done, nullptr);
      done(Unavailable("simulated: lost"), {});
      return;
    }
    case Action::kGiveUp: {
      const auto done = std::exchange(message->done, nullptr);
      done(DeadlineExceeded("simulated: no answer yet"), {});
      return;
    }
  }
}

void SimulatedNetwork::Close() {
  const auto messages = std::exchange(messages_, {});
  for (const auto& message : messages) {
    message->done = nullptr;
    message->to = nullptr;
  }
}

}  // namespace het
