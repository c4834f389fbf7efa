"""What is trained, how and where: one value that every process of an experiment gets as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum


class System(StrEnum):
    tf_ps = "tf_ps"
    parallax = "parallax"
    het_ps = "het_ps"
    het_ar = "het_ar"
    het_hybrid = "het_hybrid"
    het_cache = "het_cache"


class Model(StrEnum):
    wdl = "wdl"
    deepfm = "deepfm"
    dcn = "dcn"
    graphsage = "graphsage"


# Systems whose tables are in het_tf's shards; those whose variables are in TensorFlow's servers.
IN_SHARDS = (System.het_ps, System.het_hybrid, System.het_cache)
IN_TENSORFLOW_SERVERS = (System.tf_ps, System.parallax)
# Every worker steps by itself, with its own gradients.
ASYNCHRONOUS = (System.tf_ps, System.het_ps)


@dataclass(frozen=True)
class Data:
    """The shapes of one example, and where the batches are (records.py).

    Attributes:
      ids: shape of the int64 ids, all of them in [0, vocabulary).
      dense: shape of the float32 features beside them, () for none.
      dense_name: how the model calls them.
      classes: 0 for a click; else what a node may be.
      fanouts: of GraphSAGE's layers.
    """

    train: str
    held_out: str
    vocabulary: int
    ids: tuple[int, ...]
    dense: tuple[int, ...] = ()
    dense_name: str = "dense"
    classes: int = 0
    multi_label: bool = False
    fanouts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Spec:
    """An experiment as a process of it sees it.

    Attributes:
      batch: examples per worker and step.
      staleness, share, policy: of the cache, where the system has one.
      worker_addresses, server_addresses: in the order of their numbers.
      meeting_addresses: where Horovod's workers find each other.
      coordinator_address: of a system that has one.
    """

    system: System
    model: Model
    data: Data
    batch: int
    dimension: int
    learning_rate: float
    seed: int
    staleness: float
    share: float
    policy: str
    worker_addresses: tuple[str, ...] = ()
    server_addresses: tuple[str, ...] = ()
    meeting_addresses: tuple[str, ...] = ()
    coordinator_address: str = ""

    @property
    def workers(self) -> int:
        return len(self.worker_addresses)

    @property
    def tables(self) -> dict[str, int]:
        """Dimensions of the embedding tables by name; all of them are looked up with the same ids."""
        return {"rows": self.dimension, **({"weights": 1} if self.model is Model.deepfm else {})}

    @property
    def cluster(self) -> dict[str, list[str]]:
        """The tasks of TensorFlow's servers, as tf.train.ClusterSpec takes them."""
        tasks = {"worker": self.worker_addresses, "ps": self.server_addresses, "chief": (self.coordinator_address,)}
        return {task: list(addresses) for task, addresses in tasks.items() if any(addresses)}

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Spec:
        fields = json.loads(text)
        data = fields.pop("data")
        tuples = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        for name in ("worker_addresses", "server_addresses", "meeting_addresses"):
            fields[name] = tuple(fields[name])
        fields["system"], fields["model"] = System(fields["system"]), Model(fields["model"])
        return cls(data=Data(**{**data, **tuples}), **fields)
