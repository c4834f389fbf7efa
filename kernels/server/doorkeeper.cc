#include "kernels/server/doorkeeper.h"

#include <openssl/crypto.h>

#include <string_view>

namespace het {
namespace {

// In a time that does not tell how much of it is right.
bool Equal(std::string_view given, const std::string& token) {
  return !token.empty() && given.size() == token.size() &&
         CRYPTO_memcmp(given.data(), token.data(), token.size()) == 0;
}

bool IsLocalSource(const std::string& source) {
  return source == "unix" || source == "::1" || source.rfind("127.", 0) == 0;
}

// The caller's token, without the word before it; null: it shows none.
const grpc::string_ref* Shown(const Doorkeeper::Metadata& metadata) {
  const auto found = metadata.find(kTokenKey);
  return found == metadata.end() ? nullptr : &found->second;
}

std::string_view WithoutPrefix(const grpc::string_ref& shown) {
  const std::string_view text(shown.data(), shown.size());
  const std::string_view prefix = kTokenPrefix;
  return text.substr(0, prefix.size()) == prefix ? text.substr(prefix.size())
                                                 : std::string_view();
}

Status Unauthenticated(std::string message) {
  return Status(StatusCode::kUnauthenticated, std::move(message));
}

}  // namespace

Status Doorkeeper::Admit(const Metadata& metadata, const std::string& peer,
                         Role needed) {
  const grpc::string_ref* shown = Shown(metadata);
  if (shown != nullptr && !encrypted_ && !IsLocalSource(SourceOf(peer))) {
    Refused("token over plaintext", peer);
    return Unauthenticated(
        "a token has come over a connection without TLS, on which others can "
        "read it: replace the token, and use TLS (het_tf's tls_ca, or "
        "HET_TF_TLS_CA)");
  }
  if (!tokens_.any()) return OkStatus();
  if (shown == nullptr) {
    Refused("no token", peer);
    return Unauthenticated(
        "this shard wants its job's token, and the call has none: give the "
        "token's file (het_tf's token_file, or HET_TF_TOKEN_FILE)");
  }
  const std::string_view token = WithoutPrefix(*shown);
  const bool admin = Equal(token, tokens_.admin);
  const bool worker = Equal(token, tokens_.worker);
  if (admin || (worker && needed == Role::kWorker)) return OkStatus();
  if (worker) {
    Refused("wrong role", peer);
    return Status(StatusCode::kPermissionDenied,
                  "checkpoints, restores, dropping a table and stopping a shard "
                  "need the administrator's token: give its file (het_tf's "
                  "admin_token_file, or HET_TF_ADMIN_TOKEN_FILE), which the shard "
                  "has to have, too (--admin-token-file)");
  }
  Refused("wrong token", peer);
  return Unauthenticated(
      "the call's token is not one of this shard's: give the file that the "
      "shard was started with (het_tf's token_file, or HET_TF_TOKEN_FILE)");
}

void Doorkeeper::Refused(const std::string& reason, const std::string& peer) {
  {
    MutexLock lock(&mutex_);
    ++refused_[reason];
  }
  const std::string source = SourceOf(peer);
  std::int64_t passed_over = 0;
  if (!once_.Admit(reason + " " + source, OncePerMinute::Clock::now(),
                   &passed_over)) {
    return;
  }
  Log(LogLevel::kWarning, "refused",
      {{"reason", reason},
       {"source", source},
       {"passed_over", std::to_string(passed_over)}});
}

std::map<std::string, std::int64_t> Doorkeeper::refused() const {
  MutexLock lock(&mutex_);
  return refused_;
}

std::string SourceOf(const std::string& peer) {
  if (peer.rfind("unix", 0) == 0) return "unix";
  const std::size_t scheme = peer.find(':');
  const std::size_t port = peer.rfind(':');
  if (scheme == std::string::npos || port <= scheme) return peer;
  std::string host = peer.substr(scheme + 1, port - scheme - 1);
  // gRPC escapes the brackets of an IPv6 address.
  for (const char* bracket : {"%5B", "%5D", "[", "]"}) {
    const std::size_t at = host.find(bracket);
    if (at != std::string::npos) host.erase(at, std::string(bracket).size());
  }
  return host;
}

}  // namespace het
