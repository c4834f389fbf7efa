"""How a shard serves: its limits, its metrics and its log. Checked by the shard server, which has the defaults."""

from __future__ import annotations

from dataclasses import dataclass

from het_tf.named_options import option


@dataclass(frozen=True)
class Serving:
    """What a shard server is told besides its place and its secrets; None: its own default."""

    max_ids: int | None = option("Most ids of one call.")
    max_dimension: int | None = option("Most floats of a row.")
    max_tables: int | None = option("Most tables.")
    max_connections: int | None = option("Most connections at a time.")
    max_workers: int | None = option("Most workers that it keeps count of.")
    max_memory: int | None = option("Bytes that its tables may take; what would need more is refused.")
    metrics_listen: str | None = option("host:port where Prometheus reads its metrics over HTTP; else nowhere.")
    metrics_insecure: bool = option("Metrics may be read from beyond loopback: HTTP knows no secrets.", False)
    reflection: bool = option("gRPC reflection: the service's description for everybody who connects.", False)
    log_format: str | None = option("text or json.")
    log_level: str | None = option("debug, info, warning or error.")
