#include "kernels/server/connection_acceptor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>  // glibc's tcp_info ends before what has been received
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace het {
namespace {

// How often connections without an admitted call are looked at, and how often the
// one that is handed over when others wait for that.
constexpr int kLookMilliseconds = 20;
constexpr int kHurryMilliseconds = 2;
// After how long without a word a peer is asked whether it is there.
constexpr int kAliveSeconds = 60;

// As gRPC's CallbackServerContext::peer() has it.
std::string PeerName(const sockaddr_storage& address) {
  char host[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &ipv4.sin_addr, host, sizeof host);
    return "ipv4:" + std::string(host) + ":" +
           std::to_string(ntohs(ipv4.sin_port));
  }
  if (address.ss_family != AF_INET6) return "unix:";
  const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address);
  const std::string port = std::to_string(ntohs(ipv6.sin6_port));
  if (IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr)) {
    inet_ntop(AF_INET, &ipv6.sin6_addr.s6_addr[12], host, sizeof host);
    return "ipv4:" + std::string(host) + ":" + port;
  }
  inet_ntop(AF_INET6, &ipv6.sin6_addr, host, sizeof host);
  std::string name = host;
  if (ipv6.sin6_scope_id != 0) {
    name += "%25" + std::to_string(ipv6.sin6_scope_id);
  }
  return "ipv6:%5B" + name + "%5D:" + port;
}

// What the peer has sent so far; 0 for a socket.
std::uint64_t ReceivedBytes(int descriptor) {
  tcp_info info = {};
  socklen_t size = sizeof info;
  if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

// Ends a connection at once, whoever else has a descriptor of it: what has been
// received and not read is dropped, and the peer is told. After a shutdown alone
// gRPC, while it does not read, would keep it.
void Abort(int descriptor) {
  sockaddr nowhere = {};
  nowhere.sa_family = AF_UNSPEC;
  if (connect(descriptor, &nowhere, sizeof nowhere) != 0) {
    shutdown(descriptor, SHUT_RDWR);  // a socket of the file system
  }
}

}  // namespace

Result<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Listen(
    Options options) {
  std::unique_ptr<ConnectionAcceptor> acceptor(
      new ConnectionAcceptor(std::move(options)));
  HET_RETURN_IF_ERROR(acceptor->sockets_.Listen(acceptor->options_.listen));
  acceptor->events_ = epoll_create1(EPOLL_CLOEXEC);
  acceptor->wakeup_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  bool watching = acceptor->events_ >= 0 && acceptor->wakeup_ >= 0 &&
                  acceptor->Watch(acceptor->wakeup_, EPOLLIN);
  for (const int listener : acceptor->sockets_.descriptors()) {
    watching = watching && acceptor->Watch(listener, EPOLLIN);
  }
  if (!watching) return Internal("cannot watch connections: ", std::strerror(errno));
  return acceptor;
}

ConnectionAcceptor::~ConnectionAcceptor() {
  Stop();
  for (const auto& [descriptor, connection] : connections_) close(descriptor);
  for (const int descriptor : {events_, wakeup_}) {
    if (descriptor >= 0) close(descriptor);
  }
}

void ConnectionAcceptor::Begin() {
  accepting_ = std::thread([this] { Run(); });
  handing_over_ = std::thread([this] { HandOver(); });
}

void ConnectionAcceptor::Stop() {
  if (accepting_.joinable()) {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
      accepted_.NotifyAll();
    }
    // While it may be held up, strangers are ended.
    handing_over_.join();
    const std::uint64_t one = 1;
    (void)!write(wakeup_, &one, sizeof one);
    accepting_.join();
  }
  MutexLock lock(&mutex_);
  for (const Accepted& one : queue_) {
    shutdown(one.connection, SHUT_RDWR);  // there is another descriptor of it
    close(one.connection);
  }
  queue_.clear();
  sockets_.Close();
}

bool ConnectionAcceptor::Watch(int descriptor, std::uint32_t what) {
  epoll_event event = {};
  event.events = what;
  event.data.fd = descriptor;
  return epoll_ctl(events_, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void ConnectionAcceptor::HandOver() {
  for (;;) {
    Accepted next;
    {
      MutexLock lock(&mutex_);
      in_hand_ = -1;
      while (queue_.empty() && !stopping_) accepted_.Wait(&mutex_);
      if (stopping_) return;
      next = queue_.front();
      queue_.pop_front();
      in_hand_ = next.watched;
      const auto found = connections_.find(in_hand_);
      if (found != connections_.end()) {
        found->second.came = std::chrono::steady_clock::now();  // not its fault
      }
    }
    options_.accepted(next.listener, next.connection);
  }
}

void ConnectionAcceptor::Run() {
  const std::vector<int>& listeners = sockets_.descriptors();
  bool strangers = false;
  auto looked = std::chrono::steady_clock::now();
  epoll_event events[64];
  for (;;) {
    const int look = strangers ? kLookMilliseconds : -1;
    const int count =
        epoll_wait(events_, events, 64, EndWhoHoldsUp() ? kHurryMilliseconds : look);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[i].data.fd;
      if (descriptor == wakeup_) return;
      if (std::find(listeners.begin(), listeners.end(), descriptor) !=
          listeners.end()) {
        Accept(descriptor);
        strangers = true;
      } else {
        // gRPC's own end has both; what it wrote is on its way.
        Ended(descriptor, (events[i].events & (EPOLLHUP | EPOLLERR)) == 0);
      }
    }
    const auto now = std::chrono::steady_clock::now();
    if (strangers && now - looked >= std::chrono::milliseconds(kLookMilliseconds)) {
      looked = now;
      strangers = EndStrangers();
    }
  }
}

void ConnectionAcceptor::Accept(int listener) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  const int connection =
      accept4(listener, reinterpret_cast<sockaddr*>(&address), &size,
              SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (connection < 0) {
    // Out of descriptors: the listener stays ready, and those that are there may
    // end meanwhile.
    if (errno == EMFILE || errno == ENFILE) {
      options_.refused("no descriptors left", "");
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return;
  }
  const std::string peer = PeerName(address);
  const int watched = fcntl(connection, F_DUPFD_CLOEXEC, 0);
  const bool full = open() >= static_cast<std::int64_t>(options_.max_connections);
  if (full) options_.refused("too many connections", peer);
  const bool watching = watched >= 0 && Watch(watched, EPOLLRDHUP);
  if (watched < 0) {
    options_.refused("no descriptors left", peer);
  } else if (!watching) {
    options_.refused("no epoll watches left", peer);
  }
  // Workers are let in at once and stay; who is not has to make room.
  if (!watching || (full && !EndOldestStranger())) {
    close(connection);
    if (watched >= 0) close(watched);
    return;
  }
  if (address.ss_family != AF_UNIX) {
    const int on = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(connection, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(connection, IPPROTO_TCP, TCP_KEEPIDLE, &kAliveSeconds,
               sizeof kAliveSeconds);
  }
  MutexLock lock(&mutex_);
  connections_[watched] = {peer, std::chrono::steady_clock::now()};
  if (address.ss_family != AF_UNIX) by_peer_[peer] = watched;
  queue_.push_back({listener, connection, watched});
  accepted_.NotifyAll();
}

void ConnectionAcceptor::Ended(int descriptor, bool by_peer) {
  std::string peer;
  bool called = false;
  std::uint64_t received = 0;
  {
    MutexLock lock(&mutex_);
    const auto found = connections_.find(descriptor);
    if (found == connections_.end()) return;
    peer = found->second.peer;
    called = found->second.called;
    received = std::max(found->second.received, ReceivedBytes(descriptor));
  }
  // A probe of the port says nothing, and is none of those; its end counts as one.
  // Who sees that a connection has gone sees it counted, too.
  if (!called && received > 1) options_.refused("ended without a call", peer);
  {
    MutexLock lock(&mutex_);
    const auto waits = std::find_if(
        queue_.begin(), queue_.end(),
        [descriptor](const Accepted& one) { return one.watched == descriptor; });
    if (waits != queue_.end()) {
      close(waits->connection);
      queue_.erase(waits);
    }
    connections_.erase(descriptor);
    const auto latest = by_peer_.find(peer);
    if (latest != by_peer_.end() && latest->second == descriptor) {
      by_peer_.erase(latest);
    }
  }
  if (by_peer) Abort(descriptor);
  // Closing it would not while gRPC has its own, and the number is soon another's.
  epoll_ctl(events_, EPOLL_CTL_DEL, descriptor, nullptr);
  close(descriptor);
}

bool ConnectionAcceptor::EndIfDue(int descriptor, Connection* connection) {
  // Those of a socket are not told apart; its file says who may use it. Those
  // that have been aborted have nothing received any more.
  if (connection->admitted || connection->ending || connection->peer == "unix:") {
    return false;
  }
  connection->received = ReceivedBytes(descriptor);
  const auto here = std::chrono::steady_clock::now() - connection->came;
  if (here < options_.patience &&
      connection->received <= options_.unadmitted_bytes) {
    return true;
  }
  connection->ending = true;
  Abort(descriptor);  // gRPC notices, and so does the epoll set
  return false;
}

bool ConnectionAcceptor::EndStrangers() {
  bool others = false;
  MutexLock lock(&mutex_);
  for (auto& [descriptor, connection] : connections_) {
    others = EndIfDue(descriptor, &connection) || others;
  }
  return others;
}

bool ConnectionAcceptor::EndWhoHoldsUp() {
  MutexLock lock(&mutex_);
  if (queue_.empty()) return false;
  const auto found = connections_.find(in_hand_);
  if (found != connections_.end()) EndIfDue(found->first, &found->second);
  return true;
}

bool ConnectionAcceptor::EndOldestStranger() {
  MutexLock lock(&mutex_);
  std::pair<const int, Connection>* oldest = nullptr;
  for (auto& one : connections_) {
    if (!one.second.admitted && one.second.peer != "unix:" && !one.second.ending &&
        (oldest == nullptr || one.second.came < oldest->second.came)) {
      oldest = &one;
    }
  }
  if (oldest == nullptr) return false;
  oldest->second.ending = true;
  oldest->second.received = ReceivedBytes(oldest->first);
  Abort(oldest->first);
  return true;
}

void ConnectionAcceptor::NoteCall(const std::string& peer, bool admitted) {
  MutexLock lock(&mutex_);
  const auto found = by_peer_.find(peer);
  if (found == by_peer_.end()) return;
  Connection& connection = connections_[found->second];
  connection.called = true;
  connection.admitted = connection.admitted || admitted;
}

std::int64_t ConnectionAcceptor::open() const {
  MutexLock lock(&mutex_);
  return static_cast<std::int64_t>(connections_.size());
}

}  // namespace het
