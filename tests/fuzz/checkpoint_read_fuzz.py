"""files.read: whatever a checkpoint's file holds is read or refused with CheckpointError; what is read can be written.

It is the reader of `het-tf checkpoint`; the shards' own is checkpoint_file_fuzz.cc,
whose committed inputs it shares. Input: the file. Checksums are made right when
an input is changed, so that what lies behind them is reached.
"""

from __future__ import annotations

import random
import struct
import zlib

from tests.fuzz.drive import MemoryFile, drive, instrumented

with instrumented(__name__, "het_tf.checkpoint.files"):
    from het_tf.checkpoint import files

_FILE = MemoryFile(".het")
_HEADER = files.HEADER_BYTES
_KINDS = (files.TABLE, files.ROWS, files.END, 99)


def _describe(part: files.TableRecord | files.Rows) -> tuple:
    if isinstance(part, files.TableRecord):
        # Its numbers as they are written: a NaN is not equal to itself.
        named = (*part.initializer.parameters, *part.optimizer.parameters)
        parameters = [(name, struct.pack("<d", value)) for name, value in named]
        return part.id, part.name, part.dimension, part.slots, part.seed, part.synchronous, part.whole, parameters
    return part.table.id, *(array.tobytes() for array in (part.ids, part.clocks, part.values, part.slots))


def run(data: bytes) -> None:
    path = files.Path(_FILE.hold(data))
    try:
        parts = list(files.read(path))
    except files.CheckpointError:
        return
    again = path.with_suffix(".again")
    with files.Writer(again) as writer:
        for part in parts:
            writer.table(part) if isinstance(part, files.TableRecord) else writer.rows(part)
        writer.close()
    kept = [part for part in parts if isinstance(part, files.TableRecord) or len(part)]
    assert [_describe(part) for part in kept] == [_describe(part) for part in files.read(again)]
    again.unlink()


def split(data: bytes) -> tuple[bytes, list[tuple[int, bytes]], bytes]:
    """The file's header, its blocks' kinds and payloads, and what is no whole block behind them."""
    blocks, at = [], _HEADER
    while len(data) - at >= _HEADER:
        kind, _, size = struct.unpack_from("<IIQ", data, at)
        if size > len(data) - at - _HEADER:
            break
        blocks.append((kind, data[at + _HEADER : at + _HEADER + size]))
        at += _HEADER + size
    return data[:_HEADER], blocks, data[at:]


def join(header: bytes, blocks: list[tuple[int, bytes]], rest: bytes) -> bytes:
    """The file with every checksum as it should be."""
    parts = [_sealed(header[: _HEADER - 4])]
    for number, (kind, payload) in enumerate(blocks):
        parts += [_sealed(struct.pack("<IIQI", kind, zlib.crc32(payload), len(payload), number)), payload]
    return b"".join(parts) + rest


def _sealed(header: bytes) -> bytes:
    return header + struct.pack("<I", zlib.crc32(header))


def mutate(data: bytes, most: int, seed: int) -> bytes:
    import atheris

    draw = random.Random(seed)
    if len(data) < _HEADER or draw.random() < 0.05:
        return atheris.Mutate(data, most)  # damage
    header, blocks, rest = split(data)
    at = draw.randrange(len(blocks) + 1)
    if at == len(blocks):
        blocks.append((draw.choice(_KINDS), blocks[draw.randrange(at)][1] if at else b""))
    kind, payload = blocks[at]
    choice = draw.randrange(16)
    if choice == 0:
        blocks[at] = (draw.choice(_KINDS), payload)
    elif choice == 1:
        del blocks[at]
    elif choice == 2:
        draw.shuffle(blocks)
    elif choice == 3:
        header = bytes(atheris.Mutate(header, _HEADER)).ljust(_HEADER, b"\0")
    elif choice == 4:
        rest = atheris.Mutate(rest, _HEADER)
    else:
        blocks[at] = (kind, bytes(atheris.Mutate(payload, most)))
    return join(header, blocks, rest)[:most]


if __name__ == "__main__":
    drive(run, mutate)
