"""What the appliance's Orthanc holds, and what its own log says came on a day."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from clic_edge.errors import Transient
from clic_edge.pacs.transport import HeldStudy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clic_edge.pacs.rest import Rest

_HANDLES: Final = TypeAdapter(list[str])
_STUDIES_AT_ONCE: Final = 1000
_CHANGES_AT_ONCE: Final = 5000


class _Uid(BaseModel):
    study_instance_uid: str = Field(alias="StudyInstanceUID")


class _Patient(BaseModel):
    patient_id: str = Field("", alias="PatientID")


class _Study(BaseModel):
    tags: _Uid = Field(alias="MainDicomTags")
    patient: _Patient = Field(alias="PatientMainDicomTags")


class _Change(BaseModel):
    seq: int = Field(alias="Seq")
    kind: str = Field(alias="ChangeType")
    resource: str = Field(alias="ID")
    date: str = Field(alias="Date")

    @property
    def at(self) -> datetime:
        """By Orthanc's clock, in UTC."""
        return datetime.strptime(self.date + "+0000", "%Y%m%dT%H%M%S%z")


class _Changes(BaseModel):
    rows: list[_Change] = Field(alias="Changes")
    done: bool = Field(alias="Done")
    last: int = Field(alias="Last")


class OrthancContent:
    """Orthanc's own books, some at a time; each call raises Transient ``archive-unreachable``."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def studies(self) -> Iterator[tuple[str, ...]]:
        """Yield the handles of all studies, a thousand at a time."""
        since = 0
        while True:
            path = f"/studies?since={since}&limit={_STUDIES_AT_ONCE}"
            found = _handles(self._rest.get(path))
            if not found:
                return
            yield found
            since += len(found)

    def arrived(self, since: datetime, until: datetime) -> Iterator[str]:
        """Yield the handles of studies whose first instance came in a period, in order.

        Orthanc forgets this of a study that is deleted. The log is in order of time as long as
        nobody sets the clock back.
        """
        seq = self._first(since)
        while True:
            page = self._changes(seq, _CHANGES_AT_ONCE)
            for change in page.rows:
                if change.at >= until:
                    return
                if change.kind == "NewStudy" and change.at >= since:
                    yield change.resource
            if page.done or not page.rows:
                return
            seq = page.last

    def study(self, study_id: str) -> HeldStudy | None:
        """Return by what a study is known elsewhere; None where it was deleted."""
        body = self._rest.get(f"/studies/{study_id}")
        if body is None:
            return None
        try:
            study = _Study.model_validate_json(body)
        except ValidationError:
            raise _not_orthancs() from None
        return HeldStudy(
            study_instance_uid=study.tags.study_instance_uid,
            patient_id=study.patient.patient_id.strip(),
        )

    def _first(self, since: datetime) -> int:
        """Return the number of the last change before a moment, by halving."""
        low, high = 0, self._read("/changes?last").last
        while low < high:
            middle = (low + high) // 2
            found = self._changes(middle, 1).rows
            if found and found[0].at < since:
                low = found[0].seq
            else:
                high = middle
        return low

    def _changes(self, since: int, limit: int) -> _Changes:
        return self._read(f"/changes?since={since}&limit={limit}")

    def _read(self, path: str) -> _Changes:
        try:
            return _Changes.model_validate_json(self._rest.get(path) or b"{}")
        except ValidationError:
            raise _not_orthancs() from None


def _handles(body: bytes | None) -> tuple[str, ...]:
    try:
        return tuple(_HANDLES.validate_json(body or b"[]"))
    except ValidationError:
        raise _not_orthancs() from None


def _not_orthancs() -> Transient:
    # Not chained: pydantic quotes the answer, and the answer names a patient.
    return Transient("archive-unreachable", "The archive's answer is not Orthanc's.")
