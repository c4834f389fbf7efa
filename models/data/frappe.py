"""Frappe: a real log of app usage, as a click-through task.

96,195 observed uses (label 1) and two sampled negatives for each, 288,585 rows
of ten ids out of one id space 0..5381 (user, item, and eight context fields).
The recipe is that of the NFM and AFM benchmarks, but the negatives are not the
authors' own: say so with every number. Cite Baltrunas et al., 2015 ("Frappe:
Understanding the Usage and Perception of Mobile App Recommendations
In-The-Wild").

The file is an .npz with `ids` (integers (n, 10)), `label` (0 or 1, (n,)) and
`fields` (ten names). It does not come with the project.
"""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE = "frappe_ctr_neg2.npz"
FOLDER_VARIABLE = "HET_TF_DATA"


@dataclass(frozen=True)
class Rows:
    """Rows of the log: ids int64 (n, fields), label float32 (n, 1)."""

    ids: np.ndarray
    label: np.ndarray
    fields: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def split(self, seed: int) -> tuple["Rows", "Rows", "Rows"]:
        """Train, validation and test rows, 8:1:1, shuffled by `seed`.

        Validation and test have a tenth each, rounded down; train the rest.
        """
        order = np.random.default_rng(seed).permutation(len(self))
        tenth = len(self) // 10
        parts = np.split(order, [len(self) - 2 * tenth, len(self) - tenth])
        train, validation, test = (
            Rows(self.ids[part], self.label[part], self.fields) for part in parts
        )
        return train, validation, test


def load(path: str | os.PathLike[str] | None = None) -> Rows:
    """Loads the log from a file, or from `frappe_ctr_neg2.npz` in a folder.

    Args:
      path: the file or its folder; None takes the folder HET_TF_DATA names.

    Raises:
      FileNotFoundError: no path and no HET_TF_DATA, or nothing there.
      ValueError: the file is not of the form above.
    """
    if path is None:
        path = os.environ.get(FOLDER_VARIABLE)
        if not path:
            raise FileNotFoundError(
                f"no path was given and {FOLDER_VARIABLE} is not set; give the path of {FILE}, "
                f"or set {FOLDER_VARIABLE} to its folder"
            )
    file = Path(path)
    if file.is_dir():
        file = file / FILE
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}; expected {FILE} or its folder")
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file} is not an .npz file; expected one with ids, label and fields")
    with np.load(file) as arrays:
        absent = sorted({"ids", "label", "fields"} - set(arrays.files))
        if absent:
            raise ValueError(f"{file} lacks {absent}; expected the arrays ids, label and fields")
        ids, label, fields = arrays["ids"], arrays["label"], arrays["fields"]
    rows = len(ids) if ids.ndim else 0
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or not rows:
        raise ValueError(f"{file}: ids are {ids.dtype} {ids.shape}; expected integers (n, fields)")
    if label.shape != (rows,) or not np.isin(label, (0, 1)).all():
        raise ValueError(f"{file}: label has shape {label.shape}; expected ({rows},) of 0 or 1")
    if fields.shape != ids.shape[1:]:
        raise ValueError(f"{file}: {fields.size} field names for {ids.shape[1]} columns of ids")
    return Rows(
        ids.astype(np.int64), label.astype(np.float32)[:, None], tuple(str(f) for f in fields)
    )
