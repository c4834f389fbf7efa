// Who is let in to a server, before a message is read; limits on connections; and
// what operators see of it.

#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "kernels/rpc/credentials.h"
#include "kernels/server/shard_server_fixture.h"
#include "kernels/testing/checkpoint_site.h"
#include "protos/shard.grpc.pb.h"

namespace het {
namespace {

using std::chrono::milliseconds;

class Admission : public ShardServerTest {
 protected:
  std::string TokenFile(const std::string& name, const std::string& token) {
    const std::string path = folder_.directory() + "/" + name;
    std::ofstream(path) << token << "\n";
    chmod(path.c_str(), 0600);
    return path;
  }
  void StartWithTokens() {
    options_.security.token_file = TokenFile("token", "the-worker-token-1");
    options_.security.admin_token_file = TokenFile("admin", "the-admin-token-1");
    StartServer();
  }
  Status ConnectStatus(const Security& security) {
    ShardClientOptions options = ClientOptions();
    options.security = security;
    return ShardClient::Connect(options).status();
  }
  // A connection by which nothing is said.
  int Idle() {
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string& listen = options_.listen;
    address.sin_port = htons(
        static_cast<std::uint16_t>(std::stoi(listen.substr(listen.rfind(':') + 1))));
    EXPECT_EQ(connect(descriptor, reinterpret_cast<sockaddr*>(&address),
                      sizeof address),
              0);
    return descriptor;
  }
  // Waits until the other end has closed it; gRPC says hello before.
  static void AwaitEnd(int descriptor) {
    char said[256];
    ssize_t size;
    while ((size = read(descriptor, said, sizeof said)) > 0) {
    }
    EXPECT_TRUE(size == 0 || errno == ECONNRESET);
  }
  // Asks by a connection that is there: gRPC's clients give up attempts to connect
  // that take 50 ms, and those are counted, too.
  static std::int64_t Refused(ShardClient& client, const std::string& reason) {
    const auto stats = client.Stats();
    const auto& refused = stats->front().refused;
    const auto found = refused.find(reason);
    return found == refused.end() ? 0 : found->second;
  }

  CheckpointSite folder_;
};

TEST_F(Admission, TheJobsWorkersAreLetInAndNobodyElse) {
  StartWithTokens();
  Security worker, admin, wrong;
  worker.token_file = options_.security.token_file;
  admin.admin_token_file = options_.security.admin_token_file;
  wrong.token_file = TokenFile("wrong", "another-job's-token");
  EXPECT_TRUE(ConnectStatus(worker).ok());
  EXPECT_TRUE(ConnectStatus(admin).ok());
  for (const Security& stranger : {Security(), wrong}) {
    const Status status = ConnectStatus(stranger);
    EXPECT_EQ(status.code(), StatusCode::kUnauthenticated) << status.ToString();
    EXPECT_TRUE(Contains(status, options_.listen)) << status.ToString();
    EXPECT_TRUE(Contains(status, "HET_TF_TOKEN_FILE")) << status.ToString();
    EXPECT_FALSE(Contains(status, "the-worker-token-1"));
  }
  StoreOptions options;
  options.security = worker;
  const auto store = Open(options);
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  OwnedRequest request;
  Fill(&request, spec_, 5);
  EXPECT_TRUE(ExchangeAndWait(*store, request.request()).ok());
  const auto snapshot = store->Snapshot(folder_.Snapshot("one", ""));
  EXPECT_EQ(snapshot.status().code(), StatusCode::kPermissionDenied)
      << snapshot.status().ToString();
  EXPECT_EQ(store->Stats()->front().refused.at("wrong role"), 1);
  EXPECT_EQ(store->Stats()->front().refused.at("no token"), 1);
}

TEST_F(Admission, AnAdministratorsCallsGetThrough) {
  options_.service.checkpoint_directory = folder_.directory();
  bool stopped = false;
  options_.service.stop = [&] { stopped = true; };
  options_.service.drop_table = [&](const std::string& table) {
    return shard_->DropTable(table);
  };
  StartWithTokens();
  StoreOptions options;
  options.security = options_.security;
  const auto store = Open(options);
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  testing::internal::CaptureStderr();
  const auto saved = folder_.Save(*store, "one");
  EXPECT_TRUE(saved.ok()) << saved.status().ToString();
  const auto stub = v1::EmbeddingShard::NewStub(
      grpc::CreateChannel(options_.listen, grpc::InsecureChannelCredentials()));
  const auto call = [&](auto method, auto request, auto reply) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer the-admin-token-1");
    return ((*stub).*method)(&context, request, &reply).ok();
  };
  v1::DropTableRequest drop;
  drop.set_name("t");
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(store->CreateTable(spec_).ok());
    EXPECT_TRUE(call(&v1::EmbeddingShard::Stub::DropTable, drop,
                     v1::DropTableReply()));
    EXPECT_TRUE(store->Stats()->front().tables.empty());
  }
  EXPECT_TRUE(call(&v1::EmbeddingShard::Stub::Stop, v1::StopRequest(),
                   v1::StopReply()));
  EXPECT_TRUE(stopped);
  // One line each: not one for every question how far the checkpoint is.
  const std::string said = testing::internal::GetCapturedStderr();
  for (const char* name : {"\"Snapshot\"", "\"DropTable\"", "\"Stop\""}) {
    EXPECT_NE(said.find(std::string("audit call=") + name), std::string::npos)
        << said;
  }
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 4) << said;
}

TEST_F(Admission, AStrangersMessageIsNotRead) {
  StartWithTokens();
  const auto channel =
      grpc::CreateChannel(options_.listen, grpc::InsecureChannelCredentials());
  const auto stub = v1::EmbeddingShard::NewStub(channel);
  {
    // The connection is a worker's, by which it may send much.
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer the-worker-token-1");
    v1::HelloReply hello;
    ASSERT_TRUE(stub->Hello(&context, v1::HelloRequest(), &hello).ok());
  }
  // Larger than what gRPC buffers unasked: it can only be sent if it is read.
  v1::AssignRequest request;
  request.set_rows(std::string(std::size_t{256} << 20, 'x'));
  grpc::ClientContext context;
  v1::AssignReply reply;
  const auto resident = [] {
    std::ifstream file("/proc/self/status");
    std::string word;
    while (file >> word) {
      if (word == "VmHWM:") {
        std::size_t kilobytes = 0;
        file >> kilobytes;
        return kilobytes << 10;
      }
    }
    return std::size_t{0};
  };
  const std::size_t before = resident();
  const grpc::Status status = stub->Assign(&context, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED)
      << status.error_message();
  // The client's own message is serialized once; the server's copy would be the
  // second.
  EXPECT_LT(resident() - before, std::size_t{400} << 20);
}

TEST_F(Admission, FilesThatAreNoTokensAreRefusedWithWhatToDo) {
  const std::vector<std::pair<std::string, std::string>> files = {
      {"short", "abc"}, {"spaces", "a token with several spaces"},
      {"empty", ""}, {"long", std::string(513, 'x')},
      {"binary", std::string("0123456789abcdef\x01", 17)}};
  for (const auto& [name, content] : files) {
    options_.security.token_file = TokenFile(name, content);
    const Status status =
        ShardServer::Start(options_, std::make_shared<Shard>(), 1).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << name;
    EXPECT_TRUE(Contains(status, name)) << status.ToString();
  }
  options_.security.token_file = TokenFile("open", "the-worker-token-1");
  chmod(options_.security.token_file.c_str(), 0644);
  Status status = ConnectStatus(options_.security);
  EXPECT_TRUE(Contains(status, "chmod 600")) << status.ToString();
  options_.security.token_file = "/nowhere/token";
  status = ConnectStatus(options_.security);
  EXPECT_TRUE(Contains(status, "/nowhere/token")) << status.ToString();
}

TEST_F(Admission, WhatOthersCanReachNeedsTlsOrTheWord) {
  options_.listen = "0.0.0.0:0";
  Status status = ShardServer::Start(options_, std::make_shared<Shard>(), 1).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status, "--insecure")) << status.ToString();
  options_.insecure = true;
  EXPECT_TRUE(ShardServer::Start(options_, std::make_shared<Shard>(), 1).ok());
  options_.security.token_file = TokenFile("token", "the-worker-token-1");
  status = ShardServer::Start(options_, std::make_shared<Shard>(), 1).status();
  EXPECT_TRUE(Contains(status, "could be read by others")) << status.ToString();
  options_ = ShardServerOptions();
  options_.listen = "127.0.0.1:0";
  options_.metrics_listen = "0.0.0.0:0";
  status = ShardServer::Start(options_, std::make_shared<Shard>(), 1).status();
  EXPECT_TRUE(Contains(status, "--metrics-insecure")) << status.ToString();
  options_.metrics_insecure = true;
  EXPECT_TRUE(ShardServer::Start(options_, std::make_shared<Shard>(), 1).ok());
}

TEST_F(Admission, AnAssignOfMoreIdsThanThereMayBeIsRefused) {
  options_.service.max_ids = 10;
  StartServer();
  const auto store = Open({});
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  std::vector<RowId> ids(11);
  const Status status =
      store->Assign(spec_.id(), 0, ids, std::vector<float>(44, 1));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Contains(status, "--max-ids")) << status.ToString();
  ids.resize(10);
  EXPECT_TRUE(store->Assign(spec_.id(), 0, ids, std::vector<float>(40, 1)).ok());
}

TEST_F(Admission, AWorkerSendsNoTokenWhereOthersCouldReadIt) {
  Security security;
  security.token_file = TokenFile("token", "the-worker-token-1");
  ShardClientOptions options = ClientOptions();
  options.security = security;
  for (const char* address :
       {"10.255.255.1:4700", "127.evil.example:4700", "127.0.0.1.example:4700",
        "[::2]:4700", "localhost.example:4700"}) {
    options.address = address;
    const Status status = ShardClient::Connect(options).status();  // at once
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << address;
    EXPECT_TRUE(Contains(status, "without TLS")) << status.ToString();
  }
}

TEST_F(Admission, ConnectionsBeyondTheLimitAreClosedAndTheOthersGoOn) {
  options_.max_connections = 2;
  StartServer();
  const auto first = Connect(ClientOptions());
  const auto second = Connect(ClientOptions());
  const int refused = Idle();
  AwaitEnd(refused);
  close(refused);
  EXPECT_EQ(first->Stats()->front().connections, 2);
  EXPECT_EQ(second->Stats()->front().refused.at("too many connections"), 1);
}

TEST_F(Admission, StrangersMakeRoomForWhoComesNext) {
  options_.max_connections = 8;
  StartServer();
  const auto client = Connect(ClientOptions());
  std::vector<int> idle;
  for (int i = 0; i < 7; ++i) idle.push_back(Idle());
  ShardClientOptions impatient = ClientOptions();
  impatient.connect_timeout = milliseconds(5000);  // gRPC ends them after 10 s
  std::vector<std::shared_ptr<ShardClient>> workers;
  for (int i = 0; i < 3; ++i) {
    workers.push_back(Connect(impatient));
    AwaitEnd(idle[static_cast<std::size_t>(i)]);  // the oldest one has
    EXPECT_TRUE(client->Stats().ok());
  }
  for (const int descriptor : idle) close(descriptor);
}

// A header block without an end and without a pause, by frames that are right: gRPC
// reads on for as long as there is more, and keeps all of it.
TEST_F(Admission, WhoIsNotLetInSendsLittle) {
  options_.security.token_file = TokenFile("token", "the-worker-token-1");
  StartServer();
  const auto frame = [](char kind, char stream, const std::string& payload) {
    std::string bytes(9, '\0');
    bytes[1] = static_cast<char>(payload.size() >> 8);
    bytes[2] = static_cast<char>(payload.size() & 0xff);
    bytes[3] = kind;
    bytes[8] = stream;
    return bytes + payload;
  };
  constexpr char kSettings = 4, kHeaders = 1, kContinuation = 9;
  std::string fields;  // literal ones, not indexed
  for (int i = 0; i < 100; ++i) {
    fields += std::string("\0\1x\x64", 4) + std::string(100, 'v');
  }
  const std::string begin = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
                            frame(kSettings, 0, "") + frame(kHeaders, 1, "");
  const std::string more = frame(kContinuation, 1, fields);
  const int stranger = Idle();
  std::size_t sent = 0;
  const std::size_t most = std::size_t{64} << 20;
  for (ssize_t size = send(stranger, begin.data(), begin.size(), MSG_NOSIGNAL);
       size >= 0 && sent < most; sent += static_cast<std::size_t>(size)) {
    size = send(stranger, more.data(), more.size(), MSG_NOSIGNAL);
    if (size < 0) break;
  }
  EXPECT_LT(sent, most);
  close(stranger);
}

TEST_F(Admission, WhoSaysNothingDoesNotStayAndWorkersDo) {
  options_.patience = milliseconds(300);
  StartServer();
  const auto client = Connect(ClientOptions());
  for (const bool slow : {false, true}) {
    const int descriptor = Idle();
    if (slow) {
      EXPECT_EQ(write(descriptor, "PRI * ", 6), 6);
    }
    AwaitEnd(descriptor);
    close(descriptor);
  }
  while (client->Stats()->front().connections > 1 ||
         Refused(*client, "ended without a call") == 0) {
    std::this_thread::yield();
  }
  EXPECT_EQ(Refused(*client, "ended without a call"), 1) << "probes of a port are none";
}

// Whoever ends it, and whether or not gRPC has seen the peer's end before.
TEST_F(Admission, EveryoneWhoSpokeAndDidNotCallIsCounted) {
  StartServer();
  const auto client = Connect(ClientOptions());
  constexpr std::int64_t kStrangers = 100;
  for (std::int64_t i = 0; i < kStrangers; ++i) {
    const int descriptor = Idle();
    EXPECT_EQ(write(descriptor, "PRI * ", 6), 6);
    shutdown(descriptor, SHUT_WR);
    AwaitEnd(descriptor);
    close(descriptor);
  }
  while (client->Stats()->front().connections > 1) std::this_thread::yield();
  EXPECT_EQ(Refused(*client, "ended without a call"), kStrangers);
}

TEST_F(Admission, EveryConnectionIsForgottenWhenItEnds) {
  StartServer();
  const auto client = Connect(ClientOptions());
  for (int i = 0; i < 50; ++i) {
    Connect(ClientOptions());  // ends at once
    close(Idle());
  }
  while (client->Stats()->front().connections > 1) std::this_thread::yield();
}

TEST_F(Admission, MetricsTellWhatHappened) {
  options_.metrics_listen = "127.0.0.1:0";
  StartServer();
  const auto store = Open({});
  ASSERT_TRUE(store->CreateTable(spec_).ok());
  OwnedRequest request;
  Fill(&request, spec_, 5);
  ASSERT_TRUE(ExchangeAndWait(*store, request.request()).ok());
  const std::string address = server_->metrics_address();
  options_.listen = address;  // where Idle connects to
  const int page = Idle();
  const std::string get =
      "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  ASSERT_EQ(write(page, get.data(), get.size()), static_cast<ssize_t>(get.size()));
  std::string said;
  char buffer[4096];
  for (ssize_t size; (size = read(page, buffer, sizeof buffer)) > 0;) {
    said.append(buffer, static_cast<std::size_t>(size));
  }
  close(page);
  for (const char* line :
       {"het_tf_calls_total{code=\"OK\",method=\"Exchange\"} 1",
        "het_tf_call_seconds_count{method=\"Exchange\"} 1",
        "het_tf_rows{table=\"t\"} 5", "het_tf_exchanges_total 1",
        "het_tf_staleness_count{table=\"t\"} 0", "het_tf_connections 1"}) {
    EXPECT_NE(said.find(line), std::string::npos) << line << "\n" << said;
  }
}

}  // namespace
}  // namespace het
