"""Which cases a validation takes: never those that the model learned from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SPLIT = "split.json"
TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Names of cases, and in a sentence which they are."""

    names: tuple[str, ...]
    sentence: str


def select(
    names: Sequence[str], *, package: Path, data: Path, split: Path | None, seen: Sequence[str]
) -> Selection:
    """Return which of the cases `names` of `data` are taken.

    With `split`, exactly those that this file lists under ``validation``. Else all but those that
    the package's own ``split.json`` lists under one of the keys `seen`, of which it has the first
    at least; a name there may be a pattern, such as ``train/*``.

    Raises ConfigError ``validation-case``, ``validation-empty`` or ``validation-split``.
    """
    if split is not None:
        listed = _listed(split, VALIDATION)
        chosen = tuple(name for name in names if _is_one(name, listed))
        for pattern in listed:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ConfigError("validation-case", f"{data} holds no {pattern}.")
        return Selection(names=chosen, sentence=f"The {len(chosen)} cases that the split names.")
    shipped = package / SPLIT
    known = _known(shipped, seen) if shipped.exists() else []
    chosen = tuple(name for name in names if not _is_one(name, known))
    if not chosen:
        raise ConfigError("validation-empty", f"The model learned from every case in {data}.")
    if left_out := len(names) - len(chosen):
        how = "learned from" if len(seen) == 1 else "learned from or was chosen by"
        sentence = f"{len(chosen)} of {len(names)} cases; the model {how} the other {left_out}."
        return Selection(names=chosen, sentence=sentence)
    return Selection(names=chosen, sentence=f"All {len(chosen)} cases.")


def _known(path: Path, seen: Sequence[str]) -> list[str]:
    first, *others = seen
    known = [*_listed(path, first)]
    for key in others:
        if key in json.loads(path.read_text(encoding="utf-8")):
            known += _listed(path, key)
    return known


def _is_one(name: str, patterns: Sequence[str]) -> bool:
    return name in patterns or any(
        fnmatchcase(name, pattern) for pattern in patterns if "*" in pattern
    )


def _listed(path: Path, key: str) -> tuple[str, ...]:
    try:
        names = json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError("validation-split", f"{path} lists no cases under {key}.") from error
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ConfigError("validation-split", f"{path} lists no cases under {key}.")
    return tuple(names)
