"""A directory of checkpoints: names, manifests, chains, what is restorable, what is too old.

    DIR/het_tf.mark             names this directory, so that shards know that theirs is the workers'
    DIR/NAME/shard-I-of-N.het   rows, one file per shard (files.py)
    DIR/NAME/dense.npz          dense weights and optimizer variables
    DIR/NAME/manifest.json      written last: without it NAME is no checkpoint

One process writes, the chief worker (and the shards their files); any may read.
Needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from het_tf.checkpoint.files import CheckpointError, DamagedFile, read

FORMAT = 1
MARK, MANIFEST, DENSE = "het_tf.mark", "manifest.json", "dense.npz"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# What may lie in the folder of a checkpoint; nothing else is ever deleted.
_OURS = re.compile(r"(shard-\d+-of-\d+\.het|dense\.npz|manifest\.json)(\.[A-Za-z0-9_.-]*)?")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What manifest.json says.

    Attributes:
      name: of the checkpoint.
      number: counts the checkpoints of a directory; the newest has the largest.
      base: the checkpoint that this one has the changes to; None: it is full.
      shards: how many files of rows it has.
      step: training batches up to it.
      epoch, batch: where in the input it was taken: `batch` batches of epoch
        `epoch` had been trained.
      created: seconds since 1970.
      het_tf: the version that wrote it.
      workers: how many there were.
      tables: their names.
      files: for every file its ``bytes``, and for dense.npz its ``crc32``.
      dense: what dense.npz has (dense.py).
    """

    name: str
    number: int
    base: str | None
    shards: int
    step: int
    epoch: int
    batch: int
    created: float
    het_tf: str
    workers: int
    tables: tuple[str, ...]
    files: dict[str, dict[str, int]]
    dense: dict[str, Any]

    @property
    def bytes(self) -> int:
        return sum(file["bytes"] for file in self.files.values())

    @property
    def shard_files(self) -> tuple[str, ...]:
        return shard_files(self.shards)


def shard_files(shards: int) -> tuple[str, ...]:
    return tuple(f"shard-{index}-of-{shards}.het" for index in range(shards))


def check_name(name: str) -> str:
    """The name; ValueError if it can be none."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == MARK:
        raise ValueError(
            f"the checkpoint's name is {name!r}, expected a letter or digit, and behind it up to 127 letters, digits, "
            "'.', '_' and '-'"
        )
    return name


def mark(directory: Path) -> str:
    """The mark of a directory, drawn at its first use. For the chief worker alone."""
    path = directory / MARK
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(path, secrets.token_hex(16).encode() + b"\n")
    text = path.read_text()
    if not re.fullmatch(r"[0-9a-f]{32}\n?", text):
        raise CheckpointError(f"{path} has {text[:80]!r}, expected 32 hex digits: the file is damaged; delete it")
    return text.strip()


def write_atomically(path: Path, data: bytes) -> None:
    """All of the file or none of it, and on the disk when this returns."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """The folder's names are on the disk when this returns."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Makes a checkpoint of the files that lie there."""
    folder = directory / manifest.name
    sync_folder(folder)
    values = {"format": FORMAT, **dataclasses.asdict(manifest)}
    values["crc32"] = _crc32_of_values(values)
    write_atomically(folder / MANIFEST, json.dumps(values, indent=1).encode())
    sync_folder(directory)


def _crc32_of_values(values: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def read_manifest(directory: Path, name: str) -> Manifest:
    """
    Raises:
      CheckpointError: there is no such checkpoint, or one of a newer format.
      DamagedFile: the manifest.
    """
    path = Path(directory) / check_name(name) / MANIFEST
    try:
        values = json.loads(path.read_text())
        if values["format"] != FORMAT:
            raise CheckpointError(
                f"{path} has format {values['format']!r}, this het_tf reads {FORMAT}: use the het_tf that wrote it "
                f"({values.get('het_tf', '?')})"
            )
        if values.pop("crc32") != _crc32_of_values(values):
            raise DamagedFile(path, "its checksum is wrong")
        fields = {field.name: values[field.name] for field in dataclasses.fields(Manifest)}
        manifest = Manifest(**{**fields, "tables": tuple(fields["tables"])})
        if manifest.name != name or not {*manifest.shard_files, DENSE} <= set(manifest.files):
            raise DamagedFile(path, f"it is that of {manifest.name!r} with the files {sorted(manifest.files)}")
        if not all(isinstance(file["bytes"], int) for file in manifest.files.values()):
            raise TypeError("a file has no size")
    except (FileNotFoundError, NotADirectoryError):
        present = ", ".join(one.name for one in manifests(directory)) or "none"
        raise CheckpointError(f"there is no checkpoint {name!r} in {directory}; there are: {present}") from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise DamagedFile(path, f"it cannot be read ({type(error).__name__}: {error})") from None
    return manifest


def manifests(directory: str | Path) -> list[Manifest]:
    """The checkpoints of a directory, the oldest first; those with a damaged manifest are left out."""
    found = []
    for name in _folders(Path(directory)):
        if (Path(directory) / name / MANIFEST).exists():
            try:
                found.append(read_manifest(Path(directory), name))
            except CheckpointError:
                continue
    # One that was merged from a chain has the number of the chain's last.
    return sorted(found, key=lambda one: (one.number, one.base is None, one.name))


def _folders(directory: Path) -> Iterator[str]:
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if _NAME.fullmatch(path.name) and path.is_dir():
                yield path.name


def next_number(directory: Path) -> int:
    """By counting and not by the clock, which may be set back."""
    return max((one.number for one in manifests(directory)), default=0) + 1


def chain(directory: Path, name: str) -> list[Manifest]:
    """What is to be restored for a checkpoint: a full one, and what came after it up to `name`.

    Raises:
      CheckpointError: one of them is not there.
      DamagedFile: the manifest of one.
    """
    links = [read_manifest(directory, name)]
    while links[0].base is not None:
        if links[0].base in {link.name for link in links}:
            raise DamagedFile(Path(directory) / links[0].name / MANIFEST, "its chain of bases ends in itself")
        try:
            links.insert(0, read_manifest(directory, links[0].base))
        except DamagedFile:
            raise
        except CheckpointError as error:
            raise CheckpointError(f"checkpoint {name!r} needs {links[0].base!r}, its base: {error}") from None
    return links


def check(directory: Path, name: str) -> list[Manifest]:
    """The chain of a checkpoint, all of whose files are there with their sizes; dense.npz is read.

    Raises:
      CheckpointError, DamagedFile: names what is not.
    """
    links = chain(directory, name)
    for link in links:
        for file, expected in link.files.items():
            path = Path(directory) / link.name / file
            if not path.is_file():
                raise DamagedFile(path, "it is missing")
            size = path.stat().st_size
            if size != expected["bytes"]:
                raise DamagedFile(path, f"it has {size} bytes, the manifest says {expected['bytes']}")
    check_crc(Path(directory) / name / DENSE, links[-1].files[DENSE])
    return links


def check_crc(path: Path, expected: dict[str, int]) -> None:
    if "crc32" in expected and crc32_of(path) != expected["crc32"]:
        raise DamagedFile(path, "its checksum is not that of the manifest")


def crc32_of(path: Path) -> int:
    crc = 0
    with open(path, "rb") as file:
        while some := file.read(1 << 20):
            crc = zlib.crc32(some, crc)
    return crc


def verify(directory: str | Path, name: str) -> list[Exception]:
    """Reads all of one checkpoint, not of its bases; what is wrong with its files, one entry for each."""
    directory, found = Path(directory), list[Exception]()
    try:
        manifest = read_manifest(directory, name)
    except CheckpointError as error:
        return [error]
    for file, expected in manifest.files.items():
        path = directory / name / file
        try:
            if not path.is_file():
                raise DamagedFile(path, "it is missing")
            if path.stat().st_size != expected["bytes"] and file not in manifest.shard_files:
                raise DamagedFile(path, f"it has {path.stat().st_size} bytes, the manifest says {expected['bytes']}")
            check_crc(path, expected)
            if file in manifest.shard_files:
                for _ in read(path):
                    pass
                if path.stat().st_size != expected["bytes"]:
                    raise DamagedFile(path, "it is another file of rows than the manifest says")
        except (CheckpointError, OSError) as error:
            found.append(error)
    if manifest.base is not None:
        try:
            chain(directory, name)
        except CheckpointError as error:
            found.append(error)
    return found


def dependents(directory: Path, name: str) -> list[str]:
    """The checkpoints that cannot be restored without this one; itself is the first."""
    needing = [name]
    for one in manifests(directory):
        if one.base in needing and one.name not in needing:
            needing.append(one.name)
    return needing


def prune(directory: str | Path, keep: int, *, unfinished: bool = False) -> list[str]:
    """Deletes the oldest checkpoints until `keep` restorable ones are left, and the ones that these build on.

    Args:
      unfinished: also deletes what an interrupted save has left behind. Only
        where nobody saves at this moment.

    Returns:
      The names of what was deleted.

    Raises:
      ValueError: `keep` is not at least 1.
    """
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        raise ValueError(f"prune: keep is {keep!r}, expected at least 1")
    directory = Path(directory)
    complete, needed, oldest = 0, set(), 0
    everyone = manifests(directory)
    for one in reversed(everyone):
        if complete == keep:
            break
        try:
            links = check(directory, one.name)
        except CheckpointError:
            continue
        complete += 1
        oldest = one.number
        needed |= {link.name for link in links}
    if complete == 0:
        return []  # nothing can be restored: someone may still want to look at it
    deleted = []
    # The newest first: what is left of an interrupted deletion is always whole chains.
    for one in reversed(everyone):
        # A damaged one that is newer may be mended.
        if one.name not in needed and one.number < oldest and delete(directory, one.name):
            deleted.append(one.name)
    for name in leftovers(directory) if unfinished else ():
        if delete(directory, name):
            deleted.append(name)
    return deleted


def leftovers(directory: Path) -> list[str]:
    """What interrupted saves have left: folders with files of a checkpoint and without a manifest."""
    folders = [directory / name for name in _folders(directory)]
    return [folder.name for folder in folders if not (folder / MANIFEST).exists() and any(folder.iterdir())]


def delete(directory: Path, name: str) -> bool:
    """Deletes one checkpoint; False, and nothing happened, where other things lie in its folder too."""
    folder = directory / check_name(name)
    inside = [path.name for path in folder.iterdir()]
    if not all(_OURS.fullmatch(file) for file in inside):
        return False
    # First it is no checkpoint any more, then its files go.
    (folder / MANIFEST).unlink(missing_ok=True)
    sync_folder(folder)
    shutil.rmtree(folder)
    return True
