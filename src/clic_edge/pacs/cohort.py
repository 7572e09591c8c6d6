"""Studies of the appliance's Orthanc chosen by what they hold, and their files one at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from clic_edge.errors import ConfigError, Refusal, Transient
from clic_edge.pacs.rest import HttpRest, OrthancPeer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_Shape = TypeVar("_Shape")
_HANDLES = TypeAdapter(list[str])
_INSTANCES = TypeAdapter(list[dict[str, object]])
_WILDCARDS = frozenset("*?\\")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrthancFile:
    """One instance in an Orthanc; it is fetched when it is read, in whatever process that is."""

    peer: OrthancPeer = field(repr=False)
    instance_id: str
    """Orthanc's handle."""

    @property
    def path(self) -> Path | None:
        """None: it is no file of ours."""
        return None

    @property
    def origin(self) -> str:
        """Where the operator finds it."""
        return f"/instances/{self.instance_id}"

    def read(self) -> bytes:
        """Return the Part 10 file.

        Raises Refusal ``study-gone`` when it was deleted, Transient ``archive-unreachable``.
        """
        content = _rest(self.peer).get(f"/instances/{self.instance_id}/file")
        if content is None:
            raise Refusal("study-gone", "The instance was deleted in the archive.")
        return content


class OrthancCohort:
    """Studies by DICOM query or by accession number."""

    def __init__(self, peer: OrthancPeer) -> None:
        self._peer = peer

    def find(self, query: Mapping[str, str]) -> tuple[str, ...]:
        """Return Orthanc's handles of the studies that match each keyword, sorted.

        Matching is that of C-FIND (PS3.4 C.2.2.2): wildcards, ranges of dates.

        Raises
        ------
        ConfigError
            ``bad-query``: Orthanc does not take it.
        Transient
            ``archive-unreachable``.

        """
        asked = {"Level": "Study", "CaseSensitive": True, "Query": dict(query)}
        answer = _rest(self._peer).post("/tools/find", json.dumps(asked).encode())
        if answer is None:
            raise ConfigError("bad-query", "Orthanc does not understand the query.")
        handles = _parsed(_HANDLES, answer)
        return tuple(sorted(handles))

    def with_accession_numbers(
        self, numbers: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Return the studies of a list of accession numbers, and the positions that have none.

        Raises as `find`; ConfigError ``bad-accession-number`` for one with a wildcard in it.
        """
        found: dict[str, None] = {}
        without = []
        for position, number in enumerate(numbers, 1):
            if _WILDCARDS & set(number):
                raise ConfigError(
                    "bad-accession-number",
                    f"Accession number {position} of {len(numbers)} holds a wildcard.",
                )
            studies = self.find({"AccessionNumber": number})
            found |= dict.fromkeys(studies)
            if not studies:
                without.append(position)
        return tuple(found), tuple(without)

    def files(self, study_id: str) -> Iterator[OrthancFile]:
        """Yield the instances of a study, series by series.

        Raises Refusal ``study-gone``, Transient ``archive-unreachable``.
        """
        answer = _rest(self._peer).get(f"/studies/{study_id}/instances")
        if answer is None:
            raise Refusal("study-gone", "The study was deleted in the archive.")
        instances = _parsed(_INSTANCES, answer)
        handles = sorted((str(one["ParentSeries"]), str(one["ID"])) for one in instances)
        yield from (OrthancFile(peer=self._peer, instance_id=handle) for _, handle in handles)

    def series_files(self, series_id: str) -> tuple[OrthancFile, ...]:
        """Return the instances of a series. Raises as `files`."""
        answer = _rest(self._peer).get(f"/series/{series_id}/instances")
        if answer is None:
            raise Refusal("study-gone", "The series was deleted in the archive.")
        handles = sorted(str(one["ID"]) for one in _parsed(_INSTANCES, answer))
        return tuple(OrthancFile(peer=self._peer, instance_id=handle) for handle in handles)


@cache
def _rest(peer: OrthancPeer) -> HttpRest:
    """Return the connection of this process to an Orthanc."""
    return HttpRest(peer)


def _parsed(shape: TypeAdapter[_Shape], answer: bytes) -> _Shape:
    try:
        return shape.validate_json(answer)
    except ValidationError:
        # Not chained: pydantic quotes the answer, and the answer names patients.
        raise Transient("archive-unreachable", "The archive's answer is not Orthanc's.") from None
