"""Opening the files that graphs are published in: what is absent or of another form is told by name."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

FOLDER_VARIABLE = "HET_TF_DATA"


def folder_of(path: str | os.PathLike[str] | None, names: Sequence[str]) -> Path:
    """The folder, in which all of `names` are; None takes the folder HET_TF_DATA names.

    Raises:
      FileNotFoundError: no path and no HET_TF_DATA, or a file is absent.
    """
    if path is None:
        path = os.environ.get(FOLDER_VARIABLE)
        if not path:
            raise FileNotFoundError(
                f"no folder was given and {FOLDER_VARIABLE} is not set; give the folder of {', '.join(names)}, or set "
                f"{FOLDER_VARIABLE} to it"
            )
    folder = Path(path)
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise FileNotFoundError(f"{folder} lacks {', '.join(absent)}; expected a folder with {', '.join(names)}")
    return folder


def arrays(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The named arrays of an .npz file.

    Raises:
      ValueError: it is no .npz file, or lacks one of them.
    """
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file} is not an .npz file; expected one with {', '.join(names)}")
    with np.load(file) as held:
        absent = [name for name in names if name not in held.files]
        if absent:
            raise ValueError(f"{file} has {held.files} and lacks {absent}; expected {', '.join(names)}")
        return {name: held[name] for name in names}


def matrix(file: Path) -> sparse.spmatrix:
    """A square matrix that scipy.sparse.save_npz wrote.

    Raises:
      ValueError: it is none.
    """
    try:
        loaded = sparse.load_npz(file)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is not a matrix of scipy.sparse.save_npz ({error}); download it again") from error
    if loaded.shape[0] != loaded.shape[1]:
        raise ValueError(f"{file} is a matrix of shape {loaded.shape}; expected a square one")
    return loaded


def json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
      ValueError: there is something else.
    """
    try:
        held = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error}); download it again") from error
    if not isinstance(held, dict):
        raise ValueError(f"{file} holds a {type(held).__name__}; expected an object")
    return held


def csv(file: Path, columns: int, *, header: int = 0) -> np.ndarray:
    """The integers of a CSV file, gzip or not: int64 (rows, columns).

    Raises:
      ValueError: something else is in it, or in other columns.
    """
    try:
        numbers = np.loadtxt(file, np.int64, delimiter=",", skiprows=header, ndmin=2)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{file}: {error}; expected {columns} columns of integers") from error
    if numbers.shape[1] != columns:
        raise ValueError(f"{file} has {numbers.shape[1]} columns; expected {columns} of integers")
    return numbers


def header_of(file: Path) -> list[str]:
    """The cells of a CSV file's first line, gzip or not."""
    return np.loadtxt(file, str, delimiter=",", max_rows=1, ndmin=1).tolist()
