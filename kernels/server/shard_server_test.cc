// Server and client: large messages and limits, addresses that cannot be, servers
// that stop, and servers that are gone. (Versions and places: handshake_test.cc;
// what stores do: rpc_contract_test.cc.)

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <future>
#include <thread>

#include "kernels/cache/embedding_cache.h"
#include "kernels/server/shard_server_fixture.h"
#include "kernels/testing/wrapped_store.h"

namespace het {
namespace {

using std::chrono::milliseconds;

TEST_F(ShardServerTest, MessagesAboveGrpcsDefaultLimitWork) {
  StartServer();
  // As one message; a worker's store would send it in pieces.
  NumberingStore store(Connect(ClientOptions()), 1, shard_->incarnation());
  spec_.dimension = 512;
  ASSERT_TRUE(store.CreateTable(spec_).ok());
  OwnedRequest request;
  Fill(&request, spec_, 10000);  // 20 MB each way; gRPC's default is 4 MiB
  const auto reply = ExchangeAndWait(store, request.request());
  ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  for (const RowView& row : reply->tables[0].fetched) {
    ASSERT_EQ(row.values[0], 1);
    ASSERT_EQ(row.values[511], 1);
  }
  const Traffic traffic = store.traffic();
  EXPECT_EQ(traffic.exchanges, 1);
  EXPECT_EQ(traffic.sent.ids, 2 * 10000);  // each the one before plus 1
  EXPECT_EQ(traffic.received.rows, 4 * 512 * 10000);
}

TEST_F(ShardServerTest, AnExchangeAboveTheLimitGoesInPiecesBelowIt) {
  options_.max_message_bytes = 8 << 20;
  StartServer();
  StoreOptions limited;
  limited.max_message_bytes = 8 << 20;
  const auto store = Open(limited);
  spec_.dimension = 512;
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  OwnedRequest request;
  Fill(&request, spec_, 10000);
  for (int step = 1; step <= 3; ++step) {
    const auto reply = ExchangeAndWait(*store, request.request());
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    for (const RowView& row : reply->tables[0].fetched) {
      ASSERT_EQ(row.values[0], step);
      ASSERT_EQ(row.values[511], step);
    }
  }
  EXPECT_EQ(store->traffic().exchanges, 3 * 8);
  EXPECT_EQ(shard_->Stats()->at(0).repeated_exchanges, 0);
}

TEST_F(ShardServerTest, ARequestAboveTheWorkersLimitIsAnErrorThatLasts) {
  StartServer();
  StoreOptions small;
  small.max_message_bytes = 10000;
  const auto store = Open(small);
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  OwnedRequest request, fits;
  Fill(&request, spec_, 1000);
  Fill(&fits, spec_, 10);
  ASSERT_TRUE(ExchangeAndWait(*store, fits.request()).ok());
  const Status status = ExchangeAndWait(*store, request.request()).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status, "larger than max_message_bytes (10000)"))
      << status.ToString();
  // Its number is missing at the shard: what follows is told so at once.
  const Status next = ExchangeAndWait(*store, fits.request()).status();
  EXPECT_EQ(next.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(next, "an earlier exchange failed")) << next.ToString();
}

TEST_F(ShardServerTest, MessagesAboveTheOtherSidesLimitAreErrorsAtOnce) {
  options_.max_message_bytes = 10000;
  StartServer();
  auto store = Open({});
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  OwnedRequest request;
  Fill(&request, spec_, 1000);
  Status status = ExchangeAndWait(*store, request.request()).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition)
      << status.ToString();
  EXPECT_TRUE(Contains(status, options_.listen)) << status.ToString();
  EXPECT_TRUE(Contains(status, "10000")) << status.ToString();
  // A small request for a large answer.
  store = Open({});
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  for (RowId first = 0; first < 1000; first += 100) {
    OwnedRequest push;
    OwnedRequest::Table& pushed = push.Add(spec_.id());
    for (RowId id = first; id < first + 100; ++id) {
      pushed.Push(id, 1, 1, {1, 2, 3, 4});
    }
    ASSERT_TRUE(ExchangeAndWait(*store, push.request()).ok());
  }
  OwnedRequest read;
  OwnedRequest::Table& table = read.Add(spec_.id());
  for (RowId id = 0; id < 1000; ++id) table.Fetch(id);
  status = ExchangeAndWait(*store, read.request()).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition)
      << status.ToString();
}

TEST_F(ShardServerTest, AnAssignMeantForAnotherIncarnationIsRefused) {
  StartServer();
  const auto store = Open({});
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  const std::string address = options_.listen;
  StopServer();
  StartServer();  // on the same address, as another incarnation
  ASSERT_EQ(options_.listen, address);
  ASSERT_TRUE(shard_->CreateTable(spec_).ok());
  const std::vector<RowId> ids = {1};
  const std::vector<float> rows(spec_.dimension, 1);
  const Status status = store->Assign(spec_.id(), 0, ids, rows);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition)
      << status.ToString();
  EXPECT_TRUE(Contains(status, "restarted")) << status.ToString();
}

TEST_F(ShardServerTest, BothSidesCountTheSameBytes) {
  StartServer();
  const auto store = Open({});
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  for (RowId rows = 1; rows < 50; rows += 7) {
    OwnedRequest request;
    Fill(&request, spec_, rows);
    ASSERT_TRUE(ExchangeAndWait(*store, request.request()).ok());
  }
  const Traffic here = store->traffic();
  const Traffic there = store->Stats()->front().traffic;
  EXPECT_EQ(here.exchanges, 7);
  EXPECT_EQ(there.exchanges, 7);
  EXPECT_EQ(here.sent.total(), there.received.total());
  EXPECT_EQ(here.received.total(), there.sent.total());
  EXPECT_EQ(here.sent.gradients, there.received.gradients);
  EXPECT_EQ(here.received.rows, there.sent.rows);
  EXPECT_EQ(store->Stats()->front().address, options_.listen);
}

// --- Addresses. -------------------------------------------------------------

TEST_F(ShardServerTest, APortInUseIsAClearError) {
  StartServer();
  const Status status =
      ShardServer::Start(options_, shard_, shard_->incarnation()).status();
  EXPECT_EQ(status.code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(Contains(status, options_.listen)) << status.ToString();
  EXPECT_TRUE(Contains(status, "in use")) << status.ToString();
}

TEST_F(ShardServerTest, ASocketInUseIsAClearErrorAndAStaleOneIsReplaced) {
  char folder[] = "/tmp/het_tf_socketXXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/shard";
  // A file left behind by a server that was killed.
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int stale = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof address),
            0);
  close(stale);
  ASSERT_EQ(access(path.c_str(), F_OK), 0);
  options_.listen = "unix:" + path;
  const auto shard = std::make_shared<Shard>();
  {
    const auto first = ShardServer::Start(options_, shard, 1);
    ASSERT_TRUE(first.ok()) << first.status().ToString();
    const Status second = ShardServer::Start(options_, shard, 2).status();
    EXPECT_EQ(second.code(), StatusCode::kAlreadyExists);
    EXPECT_TRUE(Contains(second, "socket is in use")) << second.ToString();
  }
  unlink(path.c_str());
  rmdir(folder);
}

TEST_F(ShardServerTest, AddressesThatCannotBeAreRefused) {
  const auto shard = std::make_shared<Shard>();
  for (const char* listen : {"", "localhost", "localhost:"}) {
    options_.listen = listen;
    const Status status = ShardServer::Start(options_, shard, 1).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << listen;
    EXPECT_TRUE(Contains(status, "host:port or unix:/path"));
  }
  options_.listen = "unix:/nowhere/at/all";
  EXPECT_EQ(ShardServer::Start(options_, shard, 1).status().code(),
            StatusCode::kAlreadyExists);
}

TEST_F(ShardServerTest, AnAbsentShardIsAnErrorThatNamesItsAddress) {
  StartServer();
  StopServer();  // its port is free again
  StoreOptions options;
  options.connect_timeout = milliseconds(200);
  options.addresses = {options_.listen};
  const Status status = OpenStore(options).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Contains(status, "shard 0 (" + options_.listen + ")"))
      << status.ToString();
  EXPECT_TRUE(Contains(status, "200 ms")) << status.ToString();
}

TEST_F(ShardServerTest, OpenStoreRefusesADeadlineOfZero) {
  StoreOptions options;
  options.deadline = milliseconds(0);
  EXPECT_EQ(OpenStore(options).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(ShardServerTest, OpenStoreWithoutAddressesEmbedsAShard) {
  const auto store = OpenStore({});
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE((*store)->CreateTable(spec_).ok());
  OwnedRequest request;
  Fill(&request, spec_, 3);
  EXPECT_TRUE(ExchangeAndWait(**store, request.request()).ok());
  EXPECT_EQ((*store)->traffic().sent.total(), 0);
}

// --- The end of a server. ---------------------------------------------------

TEST_F(ShardServerTest, AShardThatIsGoneIsAnErrorWithinTheDeadline) {
  StartServer();
  StoreOptions options;
  options.deadline = milliseconds(300);
  const auto store = Open(options);
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  OwnedRequest request;
  Fill(&request, spec_, 3);
  ASSERT_TRUE(ExchangeAndWait(*store, request.request()).ok());
  StopServer();
  const Status status = ExchangeAndWait(*store, request.request()).status();
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded)
      << status.ToString();
  for (const std::string& part : {"shard 0 (" + options_.listen + ")",
                                  std::string("'t'"), std::string("300 ms")}) {
    EXPECT_TRUE(Contains(status, part)) << status.ToString();
  }
  const Status table = store->CreateTable(spec_);
  EXPECT_EQ(table.code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Contains(table, "CreateTable of 't'")) << table.ToString();
  EXPECT_FALSE(store->Stats().ok());
}

TEST_F(ShardServerTest, AStopAnswersAnExchangeThatWaitsForItsTurn) {
  StartServer();
  const auto client = Connect(ClientOptions());
  ASSERT_TRUE(client->CreateTable(spec_).ok());
  OwnedRequest request;
  Fill(&request, spec_, 3);
  request.header = {7, shard_->incarnation(), 2};  // number 1 never comes
  std::promise<Status> answered;
  client->Exchange(request.request(), [&](Status status, ExchangeReply) {
    answered.set_value(std::move(status));
  });
  // The exchange has reached the shard once its worker is known there.
  while (shard_->Stats()->front().workers == 0) std::this_thread::yield();
  shard_->Close();
  server_->Stop(milliseconds(10000));
  const Status status = answered.get_future().get();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status.ToString();
  server_->Stop(milliseconds(0));  // a second stop does no harm
}

TEST_F(ShardServerTest, ALostConnectionIsRepairedWithinTheDeadline) {
  StartServer();
  const auto store = Open({});
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  OwnedRequest request;
  Fill(&request, spec_, 3);
  ASSERT_TRUE(ExchangeAndWait(*store, request.request()).ok());
  // The same shard behind a new server on the same port.
  server_.reset();
  std::promise<Status> answered;
  store->Exchange(request.request(), [&](Status status, ExchangeReply reply) {
    if (status.ok() && reply.tables[0].fetched[0].values[0] != 2) {
      status = Internal("applied more than once, or not at all");
    }
    answered.set_value(std::move(status));
  });
  auto server = ShardServer::Start(options_, shard_, shard_->incarnation());
  ASSERT_TRUE(server.ok()) << server.status().ToString();
  server_ = std::move(server).Take();
  const Status status = answered.get_future().get();
  EXPECT_TRUE(status.ok()) << status.ToString();
}

// The last thing to hold a connection may be its last call.
TEST_F(ShardServerTest, AClientMayGoWhileItsLastCallEnds) {
  StartServer();
  for (int i = 0; i < 200; ++i) {
    std::shared_ptr<ShardClient> client = Connect(ClientOptions());
    ASSERT_TRUE(client->CreateTable(spec_).ok());
    OwnedRequest request;
    Fill(&request, spec_, 3);
    request.header = {static_cast<Incarnation>(i + 1), shard_->incarnation(),
                      1};
    std::promise<Status> answered;
    client->Exchange(request.request(), [&](Status status, ExchangeReply) {
      answered.set_value(std::move(status));
    });
    if (i % 2 == 0) client.reset();
    const Status status = answered.get_future().get();
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
}

TEST_F(ShardServerTest, ACacheTrainsOverTheWire) {
  StartServer();
  CacheOptions options;
  options.capacity = 10;
  options.staleness = 3;
  const auto cache = EmbeddingCache::Create(spec_, options, Open({}));
  ASSERT_TRUE(cache.ok()) << cache.status().ToString();
  const std::vector<RowId> ids = {1, -5, 1};
  const std::vector<float> gradients(ids.size() * 4, -1);
  std::vector<float> rows(ids.size() * 4);
  for (int step = 0; step < 30; ++step) {
    std::promise<Status> read, written;
    (*cache)->Lookup(ids, ReadMode::kTraining, rows.data(),
                     [&](Status status) { read.set_value(std::move(status)); });
    ASSERT_TRUE(read.get_future().get().ok());
    ASSERT_EQ(rows[0], 2.0f * static_cast<float>(step));
    ASSERT_EQ(rows[4], static_cast<float>(step));
    (*cache)->Update(ids, gradients.data(), 1, 1, [&](Status status) {
      written.set_value(std::move(status));
    });
    ASSERT_TRUE(written.get_future().get().ok());
  }
}

}  // namespace
}  // namespace het
