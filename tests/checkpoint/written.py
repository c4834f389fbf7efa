"""Checkpoints as shards and the chief worker write them, made by hand: the format, a second time."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np


def block(kind: int, number: int, payload: bytes) -> bytes:
    header = struct.pack("<IIQI", kind, zlib.crc32(payload), len(payload), number)
    return header + struct.pack("<I", zlib.crc32(header)) + payload


def header(magic: bytes = b"HETTFROW", version: int = 1, kind: int = 1) -> bytes:
    first = struct.pack("<8sIII", magic, version, kind, 0)
    return first + struct.pack("<I", zlib.crc32(first))


def string(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


def table(number: int, name: str, dimension: int, slots: int, *, whole: bool = True, seed: int = 7) -> bytes:
    """The payload of a TABLE block: uniform rows, trained by Adagrad."""
    payload = struct.pack("<6Q", number, dimension, slots, seed, 0, whole) + string(name)
    payload += string("uniform") + struct.pack("<I", 2)
    payload += string("maxval") + struct.pack("<d", 0.05) + string("minval") + struct.pack("<d", -0.05)
    return payload + string("adagrad") + struct.pack("<I", 1) + string("epsilon") + struct.pack("<d", 1e-7)


def values_of(ids: np.ndarray, moment: int, width: int, seed: int = 0) -> np.ndarray:
    """float32 [n, width] that tell an id and the moment at which it was saved."""
    return (ids[:, None] * 10.0 + moment + np.arange(width) / 64 + seed).astype("<f4")


def rows(number: int, ids: Any, dimension: int, slots: int, moment: int) -> bytes:
    """The payload of a ROWS block."""
    ids = np.asarray(ids, "<i8")
    payload = struct.pack("<2Q", number, len(ids)) + ids.tobytes() + (ids % 5 + moment).astype("<i8").tobytes()
    return payload + values_of(ids, moment, dimension).tobytes() + values_of(ids, moment, slots, 500).tobytes()


def shard_file(payloads: list[tuple[int, bytes]], count: int) -> bytes:
    """A whole file of (kind, payload) with the END block of `count` rows behind."""
    blocks = [*payloads, (4, struct.pack("<Q", count))]
    return header() + b"".join(block(kind, i, payload) for i, (kind, payload) in enumerate(blocks))


def save(
    directory: Path,
    name: str,
    ids: dict[str, Any],
    *,
    moment: int,
    base: str | None = None,
    shards: int = 2,
    dimension: int = 3,
    slots: int = 2,
    number: int | None = None,
    whole: bool | None = None,
) -> Path:
    """A checkpoint with the given ids of each table, dealt out to the shards by their remainder; its folder."""
    folder = directory / name
    folder.mkdir(parents=True)
    files = {}
    for shard in range(shards):
        blocks, count = [], 0
        for place, (table_name, its) in enumerate(ids.items()):
            whole_table = base is None if whole is None else whole
            blocks.append((1, table(place + 1, table_name, dimension, slots, whole=whole_table)))
            mine = np.asarray(its)[np.asarray(its) % shards == shard]
            for part in np.array_split(mine, 3):
                if len(part):
                    blocks.append((2, rows(place + 1, part, dimension, slots, moment)))
            count += len(mine)
        file = f"shard-{shard}-of-{shards}.het"
        (folder / file).write_bytes(shard_file(blocks, count))
        files[file] = {"bytes": (folder / file).stat().st_size}
    np.savez(folder / "dense.npz", **{"000000": np.arange(4, dtype=np.float32)})
    dense = (folder / "dense.npz").read_bytes()
    files["dense.npz"] = {"bytes": len(dense), "crc32": zlib.crc32(dense)}
    manifest: dict[str, Any] = {
        "format": 1,
        "name": name,
        "number": moment if number is None else number,
        "base": base,
        "shards": shards,
        "step": moment * 100,
        "epoch": 0,
        "batch": moment,
        "created": 1.75e9 + moment,
        "het_tf": "0.1.0",
        "workers": 1,
        "tables": list(ids),
        "files": files,
        "dense": {"variables": [["model", "dense/kernel", "float32", [4]]]},
    }
    manifest["crc32"] = zlib.crc32(json.dumps(manifest, sort_keys=True).encode())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def save_chain(directory: Path) -> dict[str, dict[int, int]]:
    """full, then more, then last: for every table the moment that each of its ids was last saved at."""
    saved = [("full", None, {"user": range(60), "item": range(10)}), ("more", "full", {"user": range(0, 80, 4)})]
    saved.append(("last", "more", {"user": [4, 5, 90], "new": [-3, 2**62]}))
    found: dict[str, dict[int, int]] = {}
    for moment, (name, base, ids) in enumerate(saved, 1):
        listed = {"user": [], "item": [], "new": []} | {table: list(its) for table, its in ids.items()}
        save(directory, name, listed, moment=moment, base=base)
        for table_name, its in listed.items():
            found.setdefault(table_name, {}).update(dict.fromkeys(its, moment))
    return found
