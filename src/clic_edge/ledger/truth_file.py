"""A CSV file of truths: read line by line, and refused by line and column."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

from clic_edge.domain.truth import Origin
from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS: Final = ("case", "study", "finding", "label", "value", "origin", "source", "confidence")
_NEEDED: Final = {"finding", "origin", "source"}
_LABELS: Final = {"present": True, "absent": False, "": None}
_WORD: Final = re.compile(r"(?!.*\d{5})[a-z][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthLine:
    """One line, before it is known which case it is about."""

    number: int
    """Of the line in the file."""
    case: str
    study: str
    finding: str
    present: bool | None
    value: float | None
    origin: Origin
    source: str
    confidence: float | None


def wrong(line: int, column: str, advice: str) -> ConfigError:
    """Return what is raised of a line; it tells the place and no value."""
    return ConfigError("bad-truth-file", f"Line {line}, column {column}: {advice}")


def read_truths(path: Path) -> Iterator[TruthLine]:
    """Yield the lines of a CSV file, with comma or, as spreadsheets here write it, semicolon.

    Raises
    ------
    ConfigError
        ``bad-truth-file``: the file, its header or a line is not as it should be.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            delimiter = ";" if ";" in stream.readline() else ","
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=delimiter, restkey="more", strict=True)
            _require_header(reader.fieldnames or ())
            for row in reader:
                yield _line(reader.line_num, row, comma=delimiter == ";")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError("bad-truth-file", f"{path} is no readable CSV file in UTF-8.") from error


def _require_header(names: object) -> None:
    given = [str(name).strip() for name in names] if isinstance(names, (list, tuple)) else []
    is_named = bool({"case", "study"} & set(given)) and bool({"label", "value"} & set(given))
    is_known = set(given) <= set(COLUMNS) and len(set(given)) == len(given)
    if not is_known or not is_named or not set(given) >= _NEEDED:
        raise wrong(
            1,
            "names",
            f"use {', '.join(COLUMNS)}; needed are finding, origin, source, one of case and study, "
            "and one of label and value.",
        )


def _line(number: int, row: dict[str, str], *, comma: bool) -> TruthLine:
    if "more" in row or None in row.values():
        raise wrong(number, "last", "the line has more or fewer columns than the first.")
    told = {name.strip(): text.strip() for name, text in row.items()}
    case, study = told.get("case", ""), told.get("study", "")
    if bool(case) == bool(study):
        raise wrong(number, "case", "name the case, or else the study by its stand-in.")
    if (label := told.get("label", "").lower()) not in _LABELS:
        raise wrong(number, "label", "write present or absent, or leave it empty.")
    if told["origin"] not in set(Origin):
        raise wrong(number, "origin", f"write one of {', '.join(Origin)}.")
    if not _WORD.fullmatch(told["source"]):
        raise wrong(
            number,
            "source",
            "a word of a-z, digits, dot, dash and underscore, no five digits in a row.",
        )
    value = _number(number, "value", told, comma=comma)
    if value is None and not label:
        raise wrong(number, "label", "give a label, or a value.")
    confidence = _number(number, "confidence", told, comma=comma)
    if confidence is not None and not 0 <= confidence <= 1:
        raise wrong(number, "confidence", "from 0 to 1.")
    return TruthLine(
        number=number,
        case=case,
        study=study,
        finding=told["finding"],
        present=_LABELS[label],
        value=value,
        origin=Origin(told["origin"]),
        source=told["source"],
        confidence=confidence,
    )


def _number(line: int, column: str, told: dict[str, str], *, comma: bool) -> float | None:
    if not (text := told.get(column, "")):
        return None
    try:
        value = float(text.replace(",", ".") if comma else text)
    except ValueError as error:
        raise wrong(line, column, "no number.") from error
    if not isfinite(value):
        raise wrong(line, column, "no finite number.")
    return value
