"""A folder of DICOM files as an archive, and a folder as a destination."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from clic_edge.domain.limits import StudyLimits
from clic_edge.domain.result import Receipt, ResultKind, ResultObject
from clic_edge.domain.study import (
    Instance,
    Series,
    SeriesSummary,
    StudySummary,
)
from clic_edge.errors import Defect, Refusal, Transient
from clic_edge.pacs.headers import Identity, by_number, read_header, read_identity
from clic_edge.pacs.summaries import SUMMARY, UNREADABLE_HEADER, require_room, summary_of, unread
from clic_edge.pacs.transport import Changes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})


@dataclass(frozen=True, slots=True)
class _Study:
    uid: str
    series: dict[str, dict[str, Path]] = field(default_factory=dict)
    """The file of each instance of each series, by handle."""


class FolderArchive:
    """The DICOM files below a folder; handles are digests, so that they name no patient.

    Files that are not DICOM are ignored. What is kept stays in memory.
    """

    def __init__(self, folder: Path) -> None:
        self._studies: dict[str, _Study] = {}
        self._results: dict[str, ResultObject] = {}
        unreadable = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            identity = read_identity(path)
            if identity and identity.study_instance_uid and identity.series_instance_uid:
                self._add(path, identity)
            elif _looks_like_dicom(path):
                unreadable.append(path)
        self.unreadable: tuple[Path, ...] = tuple(unreadable)
        """The files that look like DICOM and whose header cannot be read, or holds no UIDs."""

    @property
    def study_ids(self) -> tuple[str, ...]:
        """The handles of the studies, in the order of their first files."""
        return tuple(self._studies)

    def study(self, study_id: str) -> StudySummary:
        """Describe a study; a folder does not grow. Raises Refusal ``study-gone``."""
        study = self._studies.get(study_id)
        if study is None:
            raise _gone()
        series = [_summary(series_id, files) for series_id, files in study.series.items()]
        return StudySummary(
            study_id=study_id,
            study_instance_uid=study.uid,
            seconds_since_last_instance=math.inf,
            series=tuple(sorted(series, key=by_number)),
        )

    def series(self, series_id: str) -> Series:
        """Return every instance, in the order of `SeriesSummary.instance_ids`.

        Raises Refusal ``study-gone``, ``series-too-large`` and Defect ``unreadable-header``.
        """
        for study in self._studies.values():
            if series_id in study.series:
                files = [path for _, path in sorted(study.series[series_id].items())]
                break
        else:
            raise _gone()
        try:
            require_room(len(files), sum(path.stat().st_size for path in files), StudyLimits())
            contents = [path.read_bytes() for path in files]
        except OSError as error:
            raise _gone() from error
        identity = read_identity(contents[0])
        if identity is None:
            raise Defect("unreadable-header", "A file changed while it was read.")
        return Series(
            study_instance_uid=identity.study_instance_uid,
            series_instance_uid=identity.series_instance_uid,
            patient_id=identity.patient_id,
            issuer_of_patient_id=identity.issuer_of_patient_id,
            instances=tuple(Instance(content=content) for content in contents),
        )

    def changes(self, since: int) -> Changes:
        """Return every study once: after cursor 1 there is nothing new."""
        return Changes(study_ids=() if since else self.study_ids, cursor=1, done=True)

    def keep(self, results: Sequence[ResultObject]) -> None:
        """Keep result objects in memory."""
        for result in results:
            self._results.setdefault(result.sop_instance_uid, result)

    def result(self, sop_instance_uid: str, kind: ResultKind) -> ResultObject:
        """Return a result object kept before. Raises Defect ``result-gone``."""
        del kind  # it lies here as it was kept
        if sop_instance_uid not in self._results:
            raise Defect("result-gone", "A result object is no longer in the archive.")
        return self._results[sop_instance_uid]

    def _add(self, path: Path, identity: Identity) -> None:
        """File the instance as Orthanc does: the first of those with the same UIDs is taken."""
        levels = (
            identity.patient_id,
            identity.study_instance_uid,
            identity.series_instance_uid,
            identity.sop_instance_uid,
        )
        study_id, series_id, instance_id = (_handle(levels[:depth]) for depth in (2, 3, 4))
        study = self._studies.setdefault(study_id, _Study(identity.study_instance_uid))
        study.series.setdefault(series_id, {}).setdefault(instance_id, path)


class FolderDestination:
    """A folder that takes results as files, named by kind and SOP Instance UID."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder

    def deliver(self, results: Sequence[ResultObject]) -> tuple[Receipt, ...]:
        """Write the objects; each file appears complete or not at all.

        Raises Transient ``destination-unreachable`` when the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for result in results:
                self._write(result)
        except OSError as error:
            raise Transient(
                "destination-unreachable", "The folder for results cannot be written."
            ) from error
        return tuple(
            Receipt(
                destination=self._name,
                sop_instance_uid=result.sop_instance_uid,
                accepted=True,
                status="written",
            )
            for result in results
        )

    def _write(self, result: ResultObject) -> None:
        name = f"{result.kind}-{result.sop_instance_uid}.dcm"
        part = self._folder / f".{name}.part"
        with part.open("wb") as file:
            file.write(result.content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / name)


def _summary(series_id: str, files: dict[str, Path]) -> SeriesSummary:
    """Describe a series by the first of its instances."""
    instance_ids = tuple(sorted(files))
    header = read_header(files[instance_ids[0]], SUMMARY)
    if header is None and not files[instance_ids[0]].exists():
        raise _gone()
    if header is None:
        return unread(series_id, instance_ids, UNREADABLE_HEADER)
    return summary_of(series_id, instance_ids, header=header)


def _looks_like_dicom(path: Path) -> bool:
    """Whether somebody would miss the file: the prefix of PS3.10 7.1 or a usual suffix."""
    try:
        with path.open("rb") as file:
            prefixed = file.read(132)[128:] == b"DICM"
    except OSError:
        prefixed = False
    return path.name != "DICOMDIR" and (prefixed or path.suffix.lower() in SUFFIXES)


def _handle(levels: Sequence[str]) -> str:
    return sha256("|".join(levels).encode()).hexdigest()[:40]


def _gone() -> Refusal:
    return Refusal("study-gone", "The study, or a part of it, is no longer in the folder.")
