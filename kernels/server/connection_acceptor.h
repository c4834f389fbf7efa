// ConnectionAcceptor: listens, and hands connections to gRPC.
//
// gRPC's own listener knows no limit. This one ends connections over which no call
// has been admitted: the oldest of them when there are as many connections as there
// may be (a newcomer, when all are admitted), those that have said nothing of use
// for a while, and those that have sent more than a caller who is let in needs for
// that. So a stranger who says nothing, one byte a second or a gigabyte does not
// stay. For that it keeps a second descriptor of every connection, by which it
// learns what has come and that the connection has ended.
//
// Connections are handed over by a thread of their own: gRPC reads there for as long
// as there is something to read, and who sends without a pause would keep all others
// from being accepted, and himself from being ended.
//
// Ownership: owns its listeners, its threads and the second descriptors; a
// connection is gRPC's. Thread-safety: all methods may be called from any thread,
// Begin and Stop by one at a time.
// Lock order: mutex_ is a leaf; nothing is called back under it.

#ifndef HET_TF_KERNELS_SERVER_CONNECTION_ACCEPTOR_H_
#define HET_TF_KERNELS_SERVER_CONNECTION_ACCEPTOR_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>

#include "kernels/base/mutex.h"
#include "kernels/base/status.h"
#include "kernels/server/listening_sockets.h"

namespace het {

class ConnectionAcceptor {
 public:
  struct Options {
    // "host:port" (port 0: any free one) or "unix:/path".
    std::string listen;
    std::size_t max_connections = 4096;
    // How long a connection may go without any admitted call, and how much may be
    // received by it meanwhile.
    std::chrono::milliseconds patience{30000};
    std::uint64_t unadmitted_bytes = 1 << 20;
    // Takes over the descriptor of a new connection, and that of its listener; one
    // at a time.
    std::function<void(int listener, int connection)> accepted;
    // Somebody was turned away, or went without a call (as after a TLS handshake
    // that failed): reason and peer, as gRPC names it.
    std::function<void(const std::string& reason, const std::string& peer)> refused;
  };

  // Errors: those of ListeningSockets::Listen. Connections are not accepted before
  // Begin.
  static Result<std::unique_ptr<ConnectionAcceptor>> Listen(Options options);
  ~ConnectionAcceptor();

  // With the port it got.
  const std::string& address() const { return sockets_.address(); }

  void Begin();
  // Closes the listeners; connections go on. May be called again.
  void Stop() HET_EXCLUDES(mutex_);

  // A call of this peer has come, and has been let in or not.
  void NoteCall(const std::string& peer, bool admitted) HET_EXCLUDES(mutex_);
  std::int64_t open() const HET_EXCLUDES(mutex_);

 private:
  struct Connection {
    std::string peer;
    std::chrono::steady_clock::time_point came;
    bool called = false;
    bool admitted = false;
    bool ending = false;  // aborted; the epoll set is about to say so
    // As last seen: an abort forgets it.
    std::uint64_t received = 0;
  };

  struct Accepted {
    int listener;
    int connection;
    int watched;  // the second descriptor
  };

  explicit ConnectionAcceptor(Options options) : options_(std::move(options)) {}
  // False, with errno, where the kernel will not: no memory or watches left.
  bool Watch(int descriptor, std::uint32_t what);
  void Run();
  void HandOver() HET_EXCLUDES(mutex_);
  void Accept(int listener) HET_EXCLUDES(mutex_);
  // by_peer: the peer has sent its end, and gRPC may not have seen it.
  void Ended(int descriptor, bool by_peer) HET_EXCLUDES(mutex_);
  // Ends one without an admitted call that has had its time, or sent more than it
  // may; true: it may stay for now.
  bool EndIfDue(int descriptor, Connection* connection) HET_REQUIRES(mutex_);
  // All of those; whether others stay.
  bool EndStrangers() HET_EXCLUDES(mutex_);
  // The one that is handed over, when others wait for that; whether they do.
  bool EndWhoHoldsUp() HET_EXCLUDES(mutex_);
  // Ends the one that has been without an admitted call for longest; false: none is.
  bool EndOldestStranger() HET_EXCLUDES(mutex_);

  const Options options_;
  ListeningSockets sockets_;
  int events_ = -1;  // epoll
  int wakeup_ = -1;  // eventfd: stop
  std::thread accepting_;
  std::thread handing_over_;
  mutable Mutex mutex_;
  CondVar accepted_;  // or stopping
  bool stopping_ HET_GUARDED_BY(mutex_) = false;
  std::deque<Accepted> queue_ HET_GUARDED_BY(mutex_);  // to be handed over
  int in_hand_ HET_GUARDED_BY(mutex_) = -1;  // by what it is watched
  std::unordered_map<int, Connection> connections_ HET_GUARDED_BY(mutex_);
  std::unordered_map<std::string, int> by_peer_ HET_GUARDED_BY(mutex_);
};

}  // namespace het

#endif  // HET_TF_KERNELS_SERVER_CONNECTION_ACCEPTOR_H_
