"""The command line: ``het-tf launch``, ``shard``, ``status``, ``top``, ``drop``, ``stop`` and ``checkpoint``."""

import os

# gRPC would write a line of its own about every failed TLS handshake. It reads
# this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
