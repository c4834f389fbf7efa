// Security: the files by which workers and shards know each other.
//
// A plain value. Standard library only, so that TensorFlow-facing files may
// include it.

#ifndef HET_TF_KERNELS_RPC_SECURITY_H_
#define HET_TF_KERNELS_RPC_SECURITY_H_

#include <string>

namespace het {

// Paths of files; empty: none. Certificates and keys are PEM, and are read again
// when they change. A token file holds one line, of 16 to 512 printable
// characters without spaces, and is read once.
struct Security {
  // Whose certificates the other side may have. Of a worker: it then speaks TLS.
  // Of a shard: workers have to show a certificate of it.
  std::string tls_ca;
  // One's own certificate and its key: a shard needs them to speak TLS, a worker
  // to be let in by a shard that has a tls_ca.
  std::string tls_cert;
  std::string tls_key;
  // What a worker shows to be let in, and what a caller of administrative calls
  // (Snapshot, Restore, DropTable, Stop) shows.
  std::string token_file;
  std::string admin_token_file;
};

}  // namespace het

#endif  // HET_TF_KERNELS_RPC_SECURITY_H_
