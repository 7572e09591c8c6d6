"""The folder of reports that were made, with an index of them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from clic_edge.errors import ConfigError

if TYPE_CHECKING:
    from clic_edge.board.report import ModelReport
    from clic_edge.reporting.making import ReportFile

INDEX = "index.json"
REPORTS = "reports"
"""The folder's name in the state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelvedFile:
    """One form of a report on the shelf."""

    name: str
    sha256: str
    """Of its content, hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelvedReport:
    """A report on the shelf."""

    model_id: str
    version: str
    digest: str
    """Of the model."""
    first: str
    last: str
    """Days of the period, as ``2026-10-31``."""
    language: str
    made_at: datetime
    files: tuple[ShelvedFile, ...]


_INDEX = TypeAdapter(tuple[ShelvedReport, ...])


class Shelf:
    """Reports in one folder; a reader of it never sees half a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def reports(self) -> tuple[ShelvedReport, ...]:
        """Return what is on the shelf, the newest period first; an unreadable index is empty."""
        try:
            found = _INDEX.validate_json((self._folder / INDEX).read_bytes())
        except (OSError, ValidationError):
            return ()
        return tuple(sorted(found, key=lambda one: (one.first, one.model_id, one.digest))[::-1])

    def has(self, digest: str, first: str, last: str) -> bool:
        """Whether there is a report of a model on these days."""
        return any(
            (one.digest, one.first, one.last) == (digest, first, last) for one in self.reports()
        )

    def path(self, name: str) -> Path | None:
        """Return where a file of the index lies; None for any other name."""
        names = {file.name for one in self.reports() for file in one.files}
        return self._folder / name if name in names else None

    def put(
        self, report: ModelReport, files: tuple[ReportFile, ...], *, language: str
    ) -> ShelvedReport:
        """Write a report, in the place of an earlier one of the same model and days.

        Raises
        ------
        ConfigError
            ``out-unwritable``: the folder can't be written.

        """
        put = ShelvedReport(
            model_id=report.subject.model_id,
            version=report.subject.version,
            digest=report.subject.digest,
            first=report.period.first.isoformat(),
            last=report.period.last.isoformat(),
            language=language,
            made_at=report.made_at,
            files=tuple(
                ShelvedFile(name=one.name, sha256=hashlib.sha256(one.content).hexdigest())
                for one in files
            ),
        )
        key = (put.digest, put.first, put.last)
        others = [one for one in self.reports() if (one.digest, one.first, one.last) != key]
        for one in files:
            write_whole(self._folder / one.name, one.content)
        write_whole(self._folder / INDEX, _INDEX.dump_json((*others, put), indent=1))
        return put


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all. Raises ConfigError ``out-unwritable``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.chmod(0o640)
            part.replace(path)
        except OSError:
            part.unlink()  # a disk that is full is not to be filled with attempts
            raise
    except OSError as error:
        raise ConfigError("out-unwritable", f"{path} cannot be made: {error.strerror}.") from error
