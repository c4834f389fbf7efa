// Connections that are accepted and ended while others are handed over.

#include "kernels/server/connection_acceptor.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <string>
#include <vector>

namespace het {
namespace {

using std::chrono::milliseconds;

// As gRPC in the middle of what the first connection sends; the others are closed.
class AcceptorTest : public testing::Test {
 protected:
  void Start() {
    options_.listen = "127.0.0.1:0";
    options_.accepted = [this](int, int connection) {
      const bool first = !seen_;
      seen_ = true;
      if (first) first_is_here_.set_value();
      if (keep_) {
        kept_.push_back(connection);
        ++handed_over_;
        return;
      }
      if (first) {
        pollfd end = {connection, POLLHUP, 0};
        poll(&end, 1, -1);
      }
      close(connection);
    };
    options_.refused = [this](const std::string&, const std::string&) {
      ++refused_;
    };
    auto acceptor = ConnectionAcceptor::Listen(options_);
    ASSERT_TRUE(acceptor.ok()) << acceptor.status().ToString();
    acceptor_ = std::move(acceptor).Take();
    acceptor_->Begin();
  }
  int ConnectTo() {
    const std::string& listen = acceptor_->address();
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(
        static_cast<std::uint16_t>(std::stoi(listen.substr(listen.rfind(':') + 1))));
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(descriptor, reinterpret_cast<sockaddr*>(&address),
                      sizeof address),
              0);
    return descriptor;
  }
  static void AwaitEnd(int descriptor) {
    char said;
    EXPECT_LE(read(descriptor, &said, 1), 0);
    close(descriptor);
  }

  ConnectionAcceptor::Options options_;
  bool keep_ = false;  // gRPC that has not seen an end yet
  std::vector<int> kept_;
  std::atomic<int> handed_over_{0};
  std::atomic<int> refused_{0};
  bool seen_ = false;
  std::promise<void> first_is_here_;
  std::unique_ptr<ConnectionAcceptor> acceptor_;
};

TEST_F(AcceptorTest, OthersAreEndedWhileOneIsHandedOver) {
  options_.unadmitted_bytes = 10;
  Start();
  const int first = ConnectTo();
  first_is_here_.get_future().wait();
  const int second = ConnectTo();
  EXPECT_EQ(write(second, "twelve bytes", 12), 12);
  AwaitEnd(second);
  EXPECT_EQ(write(first, "twelve bytes", 12), 12);
  AwaitEnd(first);
  while (acceptor_->open() > 0) std::this_thread::yield();
}

TEST_F(AcceptorTest, OneThatEndsIsForgottenWhileItsDescriptorIsHeld) {
  keep_ = true;
  options_.unadmitted_bytes = 10;
  Start();
  const int spare = dup(STDERR_FILENO);
  const int first = ConnectTo();
  first_is_here_.get_future().wait();
  close(first);
  while (acceptor_->open() > 0) std::this_thread::yield();
  close(spare);  // now the second has the number by which the first was watched
  const int second = ConnectTo();
  while (handed_over_ < 2) std::this_thread::yield();
  EXPECT_EQ(write(second, "twelve bytes", 12), 12);
  AwaitEnd(second);
  acceptor_->Stop();
  for (const int descriptor : kept_) close(descriptor);
}

TEST_F(AcceptorTest, WhoGoesBeforeItsTurnIsNotKept) {
  options_.unadmitted_bytes = 10;
  Start();
  const int first = ConnectTo();
  first_is_here_.get_future().wait();
  const auto lowest_free = [] {
    const int descriptor = dup(STDERR_FILENO);
    close(descriptor);
    return descriptor;
  };
  const int free = lowest_free();
  for (int i = 1; i <= 20; ++i) {
    const int another = ConnectTo();
    EXPECT_EQ(write(another, "hello", 5), 5);
    close(another);
    while (refused_ < i) std::this_thread::yield();
  }
  while (lowest_free() != free) std::this_thread::yield();
  EXPECT_EQ(write(first, "twelve bytes", 12), 12);
  AwaitEnd(first);
}

TEST_F(AcceptorTest, StopsWhileOneIsHandedOver) {
  options_.patience = milliseconds(500);
  Start();
  const int first = ConnectTo();
  first_is_here_.get_future().wait();
  const int second = ConnectTo();
  while (acceptor_->open() < 2) std::this_thread::yield();
  acceptor_->Stop();
  AwaitEnd(first);
  AwaitEnd(second);
}

}  // namespace
}  // namespace het
