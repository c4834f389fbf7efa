"""The rules of docs/security.md, each broken on purpose; see mutants.py."""

from mutant import Mutant

ACCEPTOR = "server/connection_acceptor_test"
ADMISSION = "server/admission_test"
DOORKEEPER = "server/doorkeeper_test"
LOG = "server/log_test"
LIMITS = "shard/shard_limits_test"

SECURITY_MUTANTS = (
    Mutant(
        "every-worker-is-an-administrator",
        "roles",
        "server/doorkeeper.cc",
        "if (admin || (worker && needed == Role::kWorker)) return OkStatus();",
        "if (admin || (worker && needed <= Role::kAdmin)) return OkStatus();",
        ((DOORKEEPER, "*TokensAndRoles"), (ADMISSION, "*TheJobsWorkersAreLetIn*")),
    ),
    Mutant(
        "the-beginning-of-a-token-is-enough",
        "tokens",
        "server/doorkeeper.cc",
        "given.size() == token.size() &&\n         CRYPTO_memcmp(given.data(), token.data(), token.size()) == 0;",
        "given.size() <= token.size() &&\n         CRYPTO_memcmp(given.data(), token.data(), given.size()) == 0;",
        ((DOORKEEPER, "*TokensAndRoles"),),
    ),
    Mutant(
        "a-strangers-message-is-read",
        "a stranger's message is not read",
        "server/shard_service.cc",
        "  explicit RefusedCall(const Status& status) { Finish(ToGrpc(status)); }\n",
        "  explicit RefusedCall(const Status& status) : status_(status) { StartRead(&message_); }\n"
        "  void OnReadDone(bool) override { Finish(ToGrpc(status_)); }\n"
        "  Status status_;\n"
        "  grpc::ByteBuffer message_;\n",
        ((ADMISSION, "*AStrangersMessageIsNotRead"),),
    ),
    Mutant(
        "a-name-that-begins-with-127-is-this-host",
        "no token over plaintext beyond the host",
        "rpc/credentials.cc",
        "(inet_pton(AF_INET, host.c_str(), &ipv4) == 1 &&\n          ntohl(ipv4.s_addr) >> 24 == 127);",
        '(ipv4.s_addr == 0 && host.rfind("127.", 0) == 0);',
        ((ADMISSION, "*AWorkerSendsNoToken*"),),
    ),
    Mutant(
        "strangers-keep-workers-out",
        "limits",
        "server/connection_acceptor.cc",
        "  oldest->second.ending = true;\n",
        "  return false;\n",
        ((ADMISSION, "*StrangersMakeRoom*"),),
    ),
    Mutant(
        "strangers-send-what-they-like",
        "memory is bounded",
        "server/connection_acceptor.cc",
        "connection->received <= options_.unadmitted_bytes) {",
        "connection->received <= options_.unadmitted_bytes << 30) {",
        ((ADMISSION, "*WhoIsNotLetInSendsLittle*"),),
    ),
    Mutant(
        "who-accepts-hands-over",
        "strangers are ended whatever others do",
        "server/connection_acceptor.cc",
        "  queue_.push_back({listener, connection, watched});\n  accepted_.NotifyAll();\n",
        "  mutex_.Unlock();\n  options_.accepted(listener, connection);\n  mutex_.Lock();\n",
        ((ACCEPTOR, "*"),),
    ),
    Mutant(
        "who-ended-is-taken-for-the-next",
        "strangers are ended whatever others do",
        "server/connection_acceptor.cc",
        "  epoll_ctl(events_, EPOLL_CTL_DEL, descriptor, nullptr);\n",
        "",
        ((ACCEPTOR, "*DescriptorIsHeld*"),),
    ),
    Mutant(
        "who-is-aborted-is-not-counted",
        "refusals are counted",
        "server/connection_acceptor.cc",
        "    received = std::max(found->second.received, ReceivedBytes(descriptor));\n",
        "    Abort(descriptor);\n    received = std::max(found->second.received, ReceivedBytes(descriptor));\n",
        ((ADMISSION, "*EveryoneWhoSpoke*"),),
    ),
    Mutant(
        "every-refusal-is-a-line",
        "once per source, reason and minute",
        "server/log.cc",
        "if (!is_new && now - known->second.last < kQuiet) {",
        "if (!is_new && now < known->second.last) {",
        ((LOG, "OncePerMinute.*"), (DOORKEEPER, "*StrangersAreToldNothing*")),
    ),
    Mutant(
        "memory-is-not-asked-about",
        "limits",
        "shard/shard.cc",
        "    HET_RETURN_IF_ERROR(CheckMemory(tables, ids, &new_rows));\n",
        "",
        ((LIMITS, "*NewRowsBeyondTheMemory*"), (LIMITS, "*ARefusalStaysOne*")),
    ),
    Mutant(
        "room-is-granted-twice",
        "limits",
        "shard/shard_limits.cc",
        "  granted_bytes_ += bytes;\n",
        "  bytes = 0;\n",
        ((LIMITS, "*WorkersAtTheSameMoment*"),),
    ),
    Mutant(
        "a-refusal-is-forgotten",
        "exactly once",
        "shard/shard.cc",
        "    HET_RETURN_IF_ERROR(order.Refusal(request.header.sequence));\n",
        "",
        ((LIMITS, "*ARefusalStaysOne*"),),
    ),
    Mutant(
        "a-drop-is-not-logged",
        "state that survives",
        "shard/shard.cc",
        "    if (log_ != nullptr) HET_RETURN_IF_ERROR(log_->AppendDrop(id));\n",
        "",
        (("shard/shard_recovery_test", "*ADroppedTableStaysDropped*"),),
    ),
    Mutant(
        "an-increment-after-a-drop",
        "state that survives",
        "shard/shard.cc",
        "  snapshot_name_.clear();\n",
        "",
        ((LIMITS, "*AfterADrop*"),),
    ),
    Mutant(
        "ids-are-not-counted",
        "limits",
        "rpc/message_values.cc",
        "  *left -= count;\n",
        "",
        (("rpc/codec_malformed_test", "*MoreIdsThanAShardTakes*"),),
    ),
)
