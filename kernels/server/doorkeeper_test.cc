#include "kernels/server/doorkeeper.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace het {
namespace {

constexpr char kWorkerToken[] = "worker-token-of-the-job";
constexpr char kAdminToken[] = "admin-token-of-the-job!";

Status Admit(Doorkeeper& doorkeeper, const std::string& shown, Role needed,
             const std::string& peer = "ipv4:127.0.0.1:5000") {
  Doorkeeper::Metadata metadata;
  if (!shown.empty()) metadata.insert({"authorization", shown});
  return doorkeeper.Admit(metadata, peer, needed);
}

StatusCode Code(const std::string& shown, Role needed) {
  Doorkeeper doorkeeper({kWorkerToken, kAdminToken}, true);
  return Admit(doorkeeper, shown, needed).code();
}

TEST(Doorkeeper, TokensAndRoles) {
  const std::string worker = std::string("Bearer ") + kWorkerToken;
  const std::string admin = std::string("Bearer ") + kAdminToken;
  EXPECT_EQ(Code(worker, Role::kWorker), StatusCode::kOk);
  EXPECT_EQ(Code(admin, Role::kWorker), StatusCode::kOk);
  EXPECT_EQ(Code(admin, Role::kAdmin), StatusCode::kOk);
  EXPECT_EQ(Code(worker, Role::kAdmin), StatusCode::kPermissionDenied);
  for (const Role role : {Role::kWorker, Role::kAdmin}) {
    for (const std::string& wrong :
         {std::string(), std::string("Bearer "), std::string(kWorkerToken),
          worker + "x", worker.substr(0, worker.size() - 1),
          "bearer " + std::string(kWorkerToken), "Bearer " + worker,
          std::string("Bearer worker-token-of-the-joB")}) {
      EXPECT_EQ(Code(wrong, role), StatusCode::kUnauthenticated) << wrong;
    }
  }
}

TEST(Doorkeeper, WithoutAnAdministratorsTokenNobodyIsOne) {
  Doorkeeper doorkeeper({kWorkerToken, ""}, true);
  const std::string worker = std::string("Bearer ") + kWorkerToken;
  EXPECT_TRUE(Admit(doorkeeper, worker, Role::kWorker).ok());
  EXPECT_EQ(Admit(doorkeeper, worker, Role::kAdmin).code(),
            StatusCode::kPermissionDenied);
  EXPECT_EQ(Admit(doorkeeper, "Bearer ", Role::kAdmin).code(),
            StatusCode::kUnauthenticated);
}

TEST(Doorkeeper, WithoutTokensEverybodyIsLetIn) {
  Doorkeeper doorkeeper({}, false);
  EXPECT_TRUE(Admit(doorkeeper, "", Role::kAdmin, "ipv4:10.0.0.7:5000").ok());
}

TEST(Doorkeeper, ATokenThatOthersCouldReadIsRefused) {
  const std::string worker = std::string("Bearer ") + kWorkerToken;
  Doorkeeper open({}, false), encrypted({kWorkerToken, ""}, true);
  const Status status =
      Admit(open, worker, Role::kWorker, "ipv4:10.0.0.7:5000");
  EXPECT_EQ(status.code(), StatusCode::kUnauthenticated);
  EXPECT_NE(status.message().find("replace the token"), std::string::npos);
  for (const char* local :
       {"unix:", "ipv4:127.0.0.1:5000", "ipv6:%5B::1%5D:5000"}) {
    EXPECT_TRUE(Admit(open, worker, Role::kWorker, local).ok()) << local;
  }
  EXPECT_TRUE(
      Admit(encrypted, worker, Role::kWorker, "ipv4:10.0.0.7:5000").ok());
}

TEST(Doorkeeper, StrangersAreToldNothingAndTheLogSaysItOncePerMinute) {
  Doorkeeper doorkeeper({kWorkerToken, kAdminToken}, true);
  testing::internal::CaptureStderr();
  for (int i = 0; i < 1000; ++i) {
    const Status status = Admit(doorkeeper, "", Role::kWorker);
    EXPECT_EQ(status.message().find(kWorkerToken), std::string::npos);
    EXPECT_NE(status.message().find("HET_TF_TOKEN_FILE"), std::string::npos);
    const std::string guess = "Bearer guess-number-" + std::to_string(i);
    EXPECT_FALSE(Admit(doorkeeper, guess, Role::kWorker).ok());
  }
  for (const char* peer : {"ipv4:10.0.0.7:5000", "ipv4:10.0.0.7:5001"}) {
    EXPECT_FALSE(Admit(doorkeeper, "", Role::kWorker, peer).ok());
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 3) << said;
  EXPECT_EQ(said.find("guess-number"), std::string::npos) << said;
  EXPECT_NE(said.find("10.0.0.7"), std::string::npos) << said;
  const auto refused = doorkeeper.refused();
  EXPECT_EQ(refused.at("no token"), 1002);
  EXPECT_EQ(refused.at("wrong token"), 1000);
}

TEST(Doorkeeper, SourcesOfPeers) {
  EXPECT_EQ(SourceOf("ipv4:10.0.0.7:5000"), "10.0.0.7");
  EXPECT_EQ(SourceOf("ipv6:%5B::1%5D:5000"), "::1");
  EXPECT_EQ(SourceOf("ipv6:[2001:db8::7]:5000"), "2001:db8::7");
  EXPECT_EQ(SourceOf("unix:/run/s"), "unix");
  EXPECT_EQ(SourceOf("unix:"), "unix");
  EXPECT_EQ(SourceOf(""), "");
}

}  // namespace
}  // namespace het
