// exchange: rows pulled and gradients pushed through the store that a cache
// talks to, against gRPC moving as many bytes with nobody looking at them.
//
//   exchange echo                    serves; says where, ends with its input
//   exchange client SHARD ECHO DIMENSION BYTES DEPTH ROUNDS SECONDS
//                   [TLS_CA TLS_CERT TLS_KEY TOKEN_FILE]
//
// The client makes exchanges of BYTES of float32 values, DEPTH of them under
// way at a time, each contender for about SECONDS in its turn, and prints one
// JSON object per kind: bytes on the wire of one exchange, and the seconds of
// one, round by round. The echo is asked for as many bytes each way, as raw
// ByteBuffers through the same callback interface and with the same settings.

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/rpc/connect.h"
#include "protos/shard.grpc.pb.h"

namespace het {
namespace {

constexpr char kMethod[] = "/het.v1.EmbeddingShard/Exchange";

grpc::ByteBuffer Bytes(std::size_t size, std::uint64_t head) {
  std::string bytes(std::max(size, sizeof head), '\1');
  std::memcpy(bytes.data(), &head, sizeof head);
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Answers with as many bytes as the first eight of the request say.
class Echo final : public v1::EmbeddingShard::WithRawCallbackMethod_Exchange<
                       v1::EmbeddingShard::Service> {
 public:
  grpc::ServerUnaryReactor* Exchange(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* reply) override {
    std::vector<grpc::Slice> slices;
    std::uint64_t size = 0;
    if (request->Dump(&slices).ok() && !slices.empty() &&
        slices[0].size() >= sizeof size) {
      std::memcpy(&size, slices[0].begin(), sizeof size);
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (reply_.Length() != size) reply_ = Bytes(size, 0);
      *reply = reply_;  // shares the bytes
    }
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  std::mutex mutex_;
  grpc::ByteBuffer reply_;
};

int Serve() {
  Echo echo;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.SetMaxReceiveMessageSize(std::numeric_limits<int>::max());
  builder.SetMaxSendMessageSize(std::numeric_limits<int>::max());
  builder.RegisterService(&echo);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::cerr << "exchange echo: cannot listen on 127.0.0.1\n";
    return 1;
  }
  std::cout << "{\"address\": \"127.0.0.1:" << port << "\"}" << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  server->Shutdown();
  return 0;
}

using Done = std::function<void(Status)>;
using Start = std::function<void(std::size_t, Done)>;

// Makes `count` calls, `depth` at a time; seconds per call. Any thread may be
// the one that ends a call and begins the next.
Result<double> Run(const Start& start, std::size_t depth, std::size_t count) {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t begun = 0, ended = 0;
    Status status;
  } state;
  const auto begin = std::chrono::steady_clock::now();
  std::unique_lock<std::mutex> lock(state.mutex);
  while (state.ended < count) {
    if (state.begun < count && state.begun - state.ended < depth) {
      const std::size_t number = state.begun++;
      lock.unlock();
      start(number, [&state](Status status) {
        std::lock_guard<std::mutex> ended(state.mutex);
        if (!status.ok()) state.status = std::move(status);
        ++state.ended;
        state.changed.notify_one();
      });
      lock.lock();
    } else {
      state.changed.wait(lock);
    }
  }
  HET_RETURN_IF_ERROR(state.status);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
             .count() /
         static_cast<double>(count);
}

class Client {
 public:
  Client(std::shared_ptr<EmbeddingStore> store, const std::string& echo,
         std::size_t dimension, std::size_t rows)
      : store_(std::move(store)), rows_(rows) {
    spec_.name = "exchange_" + std::to_string(dimension);
    spec_.dimension = dimension;
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(std::numeric_limits<int>::max());
    arguments.SetMaxSendMessageSize(std::numeric_limits<int>::max());
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    channel_ = grpc::CreateCustomChannel(
        echo, grpc::InsecureChannelCredentials(), arguments);
    echo_ = std::make_unique<grpc::GenericStub>(channel_);
    // Eight batches of distinct ids, spread over a table of a million rows.
    std::mt19937_64 random(1);
    std::vector<RowId> all(std::max<std::size_t>(1000000, 8 * rows));
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin(), all.end(), random);
    for (std::size_t b = 0; b < 8; ++b) {
      ids_.emplace_back(all.begin() + b * rows, all.begin() + (b + 1) * rows);
    }
    gradients_.assign(rows * dimension, 1e-3f);
    clocks_.assign(rows, 1);
    rates_.assign(rows, 0.01f);
  }

  // Makes every row of the batches one that the shard holds.
  Status Prepare() {
    HET_RETURN_IF_ERROR(store_->CreateTable(spec_));
    return Run(Exchange(/*push=*/true), 1, ids_.size()).status();
  }

  Start Exchange(bool push) {
    return [this, push](std::size_t number, Done done) {
      auto request = std::make_shared<ExchangeRequest>();
      TableExchange table;
      table.table = spec_.id();
      const std::vector<RowId>& ids = ids_[number % ids_.size()];
      if (push) {
        table.push_ids = ids;
        table.push_clocks = clocks_;
        table.push_learning_rates = rates_;
        table.push_gradients = gradients_;
      } else {
        table.fetch_ids = ids;
      }
      request->tables.push_back(table);
      const ExchangeRequest& sent = *request;
      store_->Exchange(sent, [this, request, push, done = std::move(done)](
                                 Status status, ExchangeReply reply) {
        if (status.ok() && !push &&
            (reply.tables[0].fetched.size() != rows_ ||
             reply.tables[0].fetched[0].values == nullptr)) {
          status = Internal("the shard answered without the rows");
        }
        done(std::move(status));
      });
    };
  }

  Start EchoOf(std::size_t sent, std::size_t received) {
    struct Call {
      grpc::ClientContext context;
      grpc::ByteBuffer request, reply;
    };
    const grpc::ByteBuffer request = Bytes(sent, received);
    return [this, request](std::size_t, Done done) {
      auto call = std::make_shared<Call>();
      call->context.set_wait_for_ready(true);
      call->context.set_deadline(std::chrono::system_clock::now() +
                                 std::chrono::seconds(30));
      call->request = request;
      echo_->UnaryCall(
          &call->context, kMethod, grpc::StubOptions(), &call->request,
          &call->reply, [call, done = std::move(done)](grpc::Status status) {
            done(status.ok() ? OkStatus()
                             : Internal("the echo: ", status.error_message()));
          });
    };
  }

  Status Measure(bool push, std::size_t depth, int rounds, double seconds) {
    const Start ours = Exchange(push);
    const Traffic before = store_->traffic();
    HET_RETURN_IF_ERROR(Run(ours, 1, 8).status());
    const Traffic after = store_->traffic();
    const auto sent = static_cast<std::size_t>(
        (after.sent.total() - before.sent.total()) / 8);
    const auto received = static_cast<std::size_t>(
        (after.received.total() - before.received.total()) / 8);
    const Start theirs = EchoOf(sent, received);
    std::cout << R"({"kind": ")" << (push ? "push" : "pull") << R"(", "rows": )"
              << rows_ << R"(, "sent": )" << sent << R"(, "received": )"
              << received;
    std::vector<double> times[2];
    std::size_t counts[2];
    for (int round = -1; round < rounds; ++round) {
      for (const int who : {0, 1}) {
        const Start& start = who == 0 ? ours : theirs;
        Result<double> warm = Run(start, depth, 2 * depth + 2);
        HET_RETURN_IF_ERROR(warm.status());
        if (round < 0) {  // how many calls a turn has
          counts[who] = std::clamp<std::size_t>(
              static_cast<std::size_t>(seconds / *warm), 2 * depth, 100000);
          continue;
        }
        Result<double> time = Run(start, depth, counts[who]);
        HET_RETURN_IF_ERROR(time.status());
        times[who].push_back(*time);
      }
    }
    for (const int who : {0, 1}) {
      std::cout << (who == 0 ? R"(, "het_tf": [)" : R"(, "grpc": [)");
      for (std::size_t i = 0; i < times[who].size(); ++i) {
        std::cout << (i == 0 ? "" : ", ") << times[who][i];
      }
      std::cout << "]";
    }
    std::cout << "}" << std::endl;
    return OkStatus();
  }

 private:
  const std::shared_ptr<EmbeddingStore> store_;
  const std::size_t rows_;
  TableSpec spec_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> echo_;
  std::vector<std::vector<RowId>> ids_;
  std::vector<float> gradients_, rates_;
  std::vector<Clock> clocks_;
};

Status RunClient(char** argv) {
  const std::size_t dimension = std::stoul(argv[2]),
                    bytes = std::stoul(argv[3]), depth = std::stoul(argv[4]);
  const int rounds = std::stoi(argv[5]);
  const double seconds = std::stod(argv[6]);
  StoreOptions options;
  options.addresses = {argv[0]};
  if (argv[7] != nullptr) {
    options.security = {argv[7], argv[8], argv[9], argv[10], ""};
  }
  auto store = OpenStore(options);
  HET_RETURN_IF_ERROR(store.status());
  Client client(*store, argv[1], dimension,
                std::max<std::size_t>(1, bytes / (4 * dimension)));
  HET_RETURN_IF_ERROR(client.Prepare());
  for (const bool push : {false, true}) {
    HET_RETURN_IF_ERROR(client.Measure(push, depth, rounds, seconds));
  }
  return OkStatus();
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "echo" && argc == 2) return het::Serve();
  if (verb == "client" && (argc == 9 || argc == 13)) {
    const het::Status status = het::RunClient(argv + 2);
    if (!status.ok()) std::cerr << "exchange: " << status.ToString() << "\n";
    return status.ok() ? 0 : 1;
  }
  std::cerr << "usage: exchange echo\n       exchange client SHARD ECHO "
               "DIMENSION BYTES DEPTH ROUNDS SECONDS\n";
  return 2;
}
