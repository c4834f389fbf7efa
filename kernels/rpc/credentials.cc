#include "kernels/rpc/credentials.h"

#include <arpa/inet.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace het {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;

// How often gRPC looks whether a certificate has been replaced.
constexpr unsigned kLookSeconds = 2;
constexpr std::size_t kShortestToken = 16;
constexpr std::size_t kLongestToken = 512;

Result<std::string> ReadFile(const std::string& path, const char* what) {
  std::ifstream file(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), {}};
  if (!file || content.empty()) {
    return FailedPrecondition("the ", what, " ", path,
                              " cannot be read, or is empty");
  }
  return content;
}

Status CheckSecret(const std::string& path, const char* what) {
  struct stat file = {};
  if (stat(path.c_str(), &file) != 0 || (file.st_mode & S_IRWXO) == 0) {
    return OkStatus();
  }
  return FailedPrecondition("the ", what, " ", path, " may be read by every ",
                            "user of this host: chmod 600 ", path);
}

Result<std::string> ReadToken(const std::string& path) {
  HET_RETURN_IF_ERROR(CheckSecret(path, "token file"));
  Result<std::string> token = ReadFile(path, "token file");
  HET_RETURN_IF_ERROR(token.status());
  while (!token->empty() && (token->back() == '\n' || token->back() == '\r')) {
    token->pop_back();
  }
  const bool printable = std::all_of(token->begin(), token->end(),
                                     [](char c) { return c > ' ' && c < 127; });
  if (!printable || token->size() < kShortestToken ||
      token->size() > kLongestToken) {
    return FailedPrecondition(
        "the token file ", path, " holds no token: expected one line of ",
        kShortestToken, " to ", kLongestToken,
        " printable characters without spaces, as from `openssl rand -hex 32`");
  }
  return token;
}

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

// What has to be valid of a file of several certificates: of a chain the first one,
// which is the owner's; of a bundle of CAs any.
enum class Several { kChain, kBundle };

// The first certificate of the file that is valid.
Result<Certificate> ReadCertificate(const std::string& path, const char* what,
                                    Several several) {
  const Result<std::string> pem = ReadFile(path, what);
  HET_RETURN_IF_ERROR(pem.status());
  const Bio bio(BIO_new_mem_buf(pem->data(), static_cast<int>(pem->size())),
                BIO_free);
  bool expired = false;
  for (;;) {
    Certificate certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
    if (certificate == nullptr) break;
    if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) > 0) {
      return certificate;
    }
    expired = true;
    if (several == Several::kChain) break;
  }
  if (expired) {
    return FailedPrecondition("the ", what, " ", path, " has expired: renew it");
  }
  return FailedPrecondition("the ", what, " ", path,
                            " holds no certificate in PEM");
}

// gRPC would only log what is wrong, again and again.
Status CheckTlsFiles(const Security& security) {
  if (!security.tls_ca.empty()) {
    HET_RETURN_IF_ERROR(ReadCertificate(security.tls_ca, "certificate of the CA",
                                        Several::kBundle)
                            .status());
  }
  if (security.tls_cert.empty() != security.tls_key.empty()) {
    return InvalidArgument("a TLS certificate and its key belong together, got ",
                           security.tls_cert.empty() ? "the key alone"
                                                     : "the certificate alone");
  }
  if (security.tls_cert.empty()) return OkStatus();
  const auto certificate =
      ReadCertificate(security.tls_cert, "certificate", Several::kChain);
  HET_RETURN_IF_ERROR(certificate.status());
  HET_RETURN_IF_ERROR(CheckSecret(security.tls_key, "key"));
  const Result<std::string> pem = ReadFile(security.tls_key, "key");
  HET_RETURN_IF_ERROR(pem.status());
  const Bio bio(BIO_new_mem_buf(pem->data(), static_cast<int>(pem->size())),
                BIO_free);
  // Nobody is asked for the password of a key that has one.
  char no_password[] = "";
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, no_password),
                EVP_PKEY_free);
  if (key == nullptr) {
    return FailedPrecondition("the key ", security.tls_key,
                              " holds no private key in PEM without a password");
  }
  if (X509_check_private_key(certificate->get(), key.get()) != 1) {
    return FailedPrecondition("the key ", security.tls_key,
                              " is not that of the certificate ",
                              security.tls_cert);
  }
  return OkStatus();
}

}  // namespace

Result<Tokens> ReadTokens(const Security& security) {
  Tokens tokens;
  for (const auto& [path, into] : {std::pair(&security.token_file, &tokens.worker),
                                   {&security.admin_token_file, &tokens.admin}}) {
    if (path->empty()) continue;
    Result<std::string> token = ReadToken(*path);
    HET_RETURN_IF_ERROR(token.status());
    *into = std::move(token).Take();
  }
  if (tokens.any() && tokens.worker == tokens.admin) {
    return FailedPrecondition("the workers' token (", security.token_file,
                              ") and the administrator's (",
                              security.admin_token_file,
                              ") are the same: make two");
  }
  return tokens;
}

bool IsLocal(const std::string& address) {
  if (address.rfind("unix:", 0) == 0) return true;
  const std::string host = address.substr(0, address.rfind(':'));
  // A name may begin with 127, too.
  in_addr ipv4 = {};
  return host == "localhost" || host == "[::1]" ||
         (inet_pton(AF_INET, host.c_str(), &ipv4) == 1 &&
          ntohl(ipv4.s_addr) >> 24 == 127);
}

Result<std::shared_ptr<grpc::ChannelCredentials>> ClientCredentials(
    const Security& security) {
  HET_RETURN_IF_ERROR(CheckTlsFiles(security));
  if (security.tls_ca.empty()) {
    if (security.tls_cert.empty()) return grpc::InsecureChannelCredentials();
    return InvalidArgument("a worker with a TLS certificate needs the CA of the "
                           "shards' certificates, too: give tls_ca");
  }
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<FileWatcherCertificateProvider>(
      security.tls_key, security.tls_cert, security.tls_ca, kLookSeconds));
  options.watch_root_certs();
  if (!security.tls_cert.empty()) options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

Result<std::shared_ptr<grpc::ServerCredentials>> ShardCredentials(
    const Security& security) {
  HET_RETURN_IF_ERROR(CheckTlsFiles(security));
  if (security.tls_cert.empty()) {
    if (security.tls_ca.empty()) return grpc::InsecureServerCredentials();
    return InvalidArgument("a shard with a CA for workers' certificates needs a "
                           "certificate of its own, too: give --tls-cert and "
                           "--tls-key");
  }
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<FileWatcherCertificateProvider>(
          security.tls_key, security.tls_cert, security.tls_ca, kLookSeconds));
  options.watch_identity_key_cert_pairs();
  if (!security.tls_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace het
