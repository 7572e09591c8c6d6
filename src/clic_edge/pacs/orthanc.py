"""The appliance's own Orthanc as an archive, over its REST API."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, Field, ValidationError

from clic_edge.dicom.excerpt import LARGEST_HEADER
from clic_edge.domain.limits import StudyLimits
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.domain.study import Instance, Series, SeriesSummary, StudySummary
from clic_edge.errors import Defect, Refusal, Transient
from clic_edge.pacs.headers import by_number, read_header, read_identity
from clic_edge.pacs.summaries import (
    LARGE_HEADER,
    SUMMARY,
    UNREADABLE_HEADER,
    opening_of,
    require_room,
    summary_of,
    too_many_series,
    unread,
)
from clic_edge.pacs.transport import Changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clic_edge.pacs.rest import Rest

CHANGES_PAGE = 1000
_UNREST = timedelta(minutes=1)
"""Further ahead than this no second lies that was rounded."""


class _StudyTags(BaseModel):
    study_instance_uid: str = Field(alias="StudyInstanceUID")


class _Study(BaseModel):
    last_update: str = Field(alias="LastUpdate")
    tags: _StudyTags = Field(alias="MainDicomTags")
    series: list[str] = Field(alias="Series")


class _Series(BaseModel):
    study: str = Field(alias="ParentStudy")
    instances: list[str] = Field(alias="Instances")


class _Instance(BaseModel):
    series: str = Field(alias="ParentSeries")


class _Metadata(BaseModel):
    called_ae_title: str = Field("", alias="CalledAET")
    calling_ae_title: str = Field("", alias="RemoteAET")
    header_bytes: int = Field(LARGEST_HEADER + 1, alias="PixelDataOffset")
    """What stands before the pixels; told where there are any."""


class _Statistics(BaseModel):
    size: int = Field(alias="DicomDiskSize")


class _Change(BaseModel):
    kind: str = Field(alias="ChangeType")
    resource: str = Field(alias="ID")


class _Changes(BaseModel):
    rows: list[_Change] = Field(alias="Changes")
    done: bool = Field(alias="Done")
    last: int = Field(alias="Last")


class _Stored(BaseModel):
    status: str = Field(alias="Status")


class _Found(BaseModel):
    kind: str = Field(alias="Type")
    resource: str = Field(alias="ID")


class _Lookup(BaseModel):
    found: list[_Found]


_Answer = TypeVar("_Answer", bound=BaseModel)


class OrthancArchive:
    """Orthanc's studies; handles are Orthanc's identifiers."""

    def __init__(self, rest: Rest, limits: StudyLimits | None = None) -> None:
        self._rest = rest
        self._limits = limits or StudyLimits()

    def study(self, study_id: str) -> StudySummary:
        """Describe a study: one instance of each series stands for the series.

        Raises Refusal ``study-gone`` when it was deleted, Transient ``archive-unreachable``.
        """
        study = self._get(f"/studies/{study_id}", _Study)
        # Both clocks are Orthanc's own, in UTC.
        now = _time(self._bytes("/tools/now").decode())
        too_many = too_many_series(len(study.series), self._limits)
        series = [] if too_many else [self._summary(series_id) for series_id in study.series]
        return StudySummary(
            study_id=study_id,
            study_instance_uid=study.tags.study_instance_uid,
            seconds_since_last_instance=_silence(_time(study.last_update), now),
            series=tuple(sorted(series, key=by_number)),
            unread=too_many,
        )

    def series(self, series_id: str) -> Series:
        """Fetch every instance, in the order of `SeriesSummary.instance_ids`.

        Orthanc's own order is that of arrival, which differs when the same series comes again.
        Raises as `study` does, Refusal ``series-too-large`` and Defect ``unreadable-header``.
        """
        instance_ids = sorted(self._get(f"/series/{series_id}", _Series).instances)
        size = self._get(f"/series/{series_id}/statistics", _Statistics).size
        require_room(len(instance_ids), size, self._limits)
        contents = [self._bytes(f"/instances/{instance_id}/file") for instance_id in instance_ids]
        for content in contents:
            identity = read_identity(content)
            if identity:
                return Series(
                    study_instance_uid=identity.study_instance_uid,
                    series_instance_uid=identity.series_instance_uid,
                    patient_id=identity.patient_id,
                    issuer_of_patient_id=identity.issuer_of_patient_id,
                    instances=tuple(Instance(content=content) for content in contents),
                )
        raise Defect("unreadable-header", "No instance of the series has a readable header.")

    def changes(self, since: int) -> Changes:
        """Return one page of Orthanc's change log as studies.

        NewInstance is written when an instance is stored and so misses nothing, also when Orthanc
        was killed before the study became stable. StableStudy says that a study has been quiet.
        A log that ends before `since` is that of an archive made anew: start from its beginning.
        """
        page = self._get(f"/changes?since={since}&limit={CHANGES_PAGE}", _Changes)
        if page.last < since:
            return Changes(study_ids=(), cursor=0, done=False)
        studies: dict[str, None] = {}
        study_of: dict[str, str] = {}
        for change in page.rows:
            if change.kind == "StableStudy":
                studies[change.resource] = None
            elif change.kind == "NewInstance":
                if change.resource not in study_of:
                    study_of |= self._siblings(change.resource)
                if change.resource in study_of:
                    studies[study_of[change.resource]] = None
        return Changes(study_ids=tuple(studies), cursor=page.last, done=page.done)

    def keep(self, results: Sequence[ResultObject]) -> None:
        """Store result objects; those already there stay as they are.

        Raises Defect ``archive-refused`` when Orthanc will not take one, Transient when down.
        """
        for result in results:
            answer = self._rest.post("/instances", result.content)
            if answer is None or _parsed(answer, _Stored).status not in {
                "Success",
                "AlreadyStored",
            }:
                raise Defect("archive-refused", f"The archive refused the {result.kind}.")

    def result(self, sop_instance_uid: str, kind: ResultKind) -> ResultObject:
        """Return a result object kept before. Raises Defect ``result-gone``."""
        answer = self._rest.post("/tools/lookup", sop_instance_uid.encode()) or b"[]"
        lookup = _parsed(b'{"found":' + answer + b"}", _Lookup)
        for found in lookup.found:
            if found.kind == "Instance":
                content = self._rest.get(f"/instances/{found.resource}/file")
                identity = read_identity(content) if content else None
                if content and identity:
                    return ResultObject(
                        kind=kind,
                        sop_class_uid=identity.sop_class_uid,
                        series_instance_uid=identity.series_instance_uid,
                        sop_instance_uid=identity.sop_instance_uid,
                        content=content,
                    )
        raise Defect("result-gone", "A result object is no longer in the archive.")

    def _summary(self, series_id: str) -> SeriesSummary:
        """Describe a series by the first of its instances."""
        instance_ids = tuple(sorted(self._get(f"/series/{series_id}", _Series).instances))
        metadata = self._get(f"/instances/{instance_ids[0]}/metadata?expand", _Metadata)
        opening = opening_of(self._rest, instance_ids[0], header_bytes=metadata.header_bytes)
        if opening is None:
            raise _gone()
        header = read_header(opening, SUMMARY)
        if header is None:
            why = LARGE_HEADER if len(opening) > LARGEST_HEADER else UNREADABLE_HEADER
            return unread(series_id, instance_ids, why)
        return summary_of(
            series_id,
            instance_ids,
            header=header,
            called_ae_title=metadata.called_ae_title,
            calling_ae_title=metadata.calling_ae_title,
        )

    def _siblings(self, instance_id: str) -> dict[str, str]:
        """Return the study of the instance and of all others of its series; empty when deleted."""
        try:
            series_id = self._get(f"/instances/{instance_id}", _Instance).series
            series = self._get(f"/series/{series_id}", _Series)
        except Refusal:
            return {}
        return dict.fromkeys(series.instances, series.study)

    def _get(self, path: str, answer: type[_Answer]) -> _Answer:
        return _parsed(self._bytes(path), answer)

    def _bytes(self, path: str) -> bytes:
        body = self._rest.get(path)
        if body is None:
            raise _gone()
        return body


def _gone() -> Refusal:
    return Refusal("study-gone", "The study, or a part of it, was deleted in the archive.")


def _parsed(body: bytes, answer: type[_Answer]) -> _Answer:
    try:
        return answer.model_validate_json(body)
    except ValidationError:
        # Not chained: pydantic quotes the answer, and the answer names a patient.
        raise Transient("archive-unreachable", "The archive's answer is not Orthanc's.") from None


def _silence(last: datetime, now: datetime) -> float:
    """Return the seconds since the last instance: endless where the clock was set back behind it."""
    return math.inf if last - now > _UNREST else max(0.0, (now - last).total_seconds())


def _time(text: str) -> datetime:
    return datetime.strptime(text + "+0000", "%Y%m%dT%H%M%S%z")
