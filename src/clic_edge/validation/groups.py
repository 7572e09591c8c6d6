"""Who the cases are: subgroups by what a table beside them says (sex, age band, scanner, site)."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

SUBJECTS = "subjects.csv"
NAME = "name"
SMALLEST_GROUP = 10
"""Cases; the interval of a smaller group says more of chance than of the model."""


def read_groups(path: Path, cases: Collection[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the names of the cases by column and value; an empty cell is no group.

    Raises ConfigError ``validation-subjects``: no CSV with a column ``name`` and another, or a
    case that it does not name.
    """
    rows = {row[NAME]: row for row in _rows(path)}
    if missing := sorted(set(cases) - rows.keys()):
        raise ConfigError(
            "validation-subjects",
            f"{path} does not name {missing[0]} (and {len(missing) - 1} more).",
        )
    columns = [name for name in next(iter(rows.values())) if name != NAME]
    return {column: _by_value(column, rows, cases) for column in columns}


def _by_value(
    column: str, rows: Mapping[str, Mapping[str, str]], cases: Collection[str]
) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = {}
    for name in cases:
        if value := rows[name][column].strip():
            groups.setdefault(value, []).append(name)
    return {value: tuple(names) for value, names in sorted(groups.items())}


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeError, csv.Error) as error:
        raise ConfigError("validation-subjects", f"{path} is no CSV file.") from error
    whole = rows and all(None not in row and None not in row.values() for row in rows)
    if not whole or NAME not in rows[0] or len(rows[0]) == 1:
        raise ConfigError(
            "validation-subjects", f"{path} has no column 'name' and another beside it."
        )
    return rows
