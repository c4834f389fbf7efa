"""What a mutant is; see mutations.py."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One rule broken: `old` in `file` becomes `new`; each (binary, filter) must fail."""

    name: str
    rule: str
    file: str
    old: str
    new: str
    killers: tuple[tuple[str, str], ...]
