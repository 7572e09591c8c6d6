"""What the pages read of the appliance's Orthanc: is it there, a study's UID, DICOMweb as it comes."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from clic_edge.errors import Refusal, Transient
from clic_edge.pacs.matching import Search
from clic_edge.pacs.rest import KEEP_ALIVE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from clic_edge.pacs.rest import OrthancPeer

# It logs each URL, and a search may name a patient.
logging.getLogger("httpx").setLevel(logging.WARNING)

_UID = r"[0-9.]{1,64}"
_READ = re.compile(
    rf"(?:studies|series|instances)"
    rf"|studies/{_UID}(?:/(?:metadata|series|instances))?"
    rf"|studies/{_UID}/series/{_UID}(?:/(?:metadata|rendered|instances))?"
    rf"|studies/{_UID}/series/{_UID}/instances/{_UID}"
    rf"(?:/(?:metadata|rendered|frames/[0-9,]{{1,4000}}(?:/rendered)?|bulk/[0-9A-Fa-f/]{{8,200}}))?"
)
"""The paths of QIDO-RS and WADO-RS (PS3.18 table 10.4.1-1, 10.6.1-1) that Orthanc answers."""
_LEVELS = ("studies", "series", "instances")
"""How the path of a search ends."""
_PASSED = (200, 204, 206, 400, 404, 406)
# Each connection holds one of Orthanc's threads, and the worker needs some too.
_CONNECTIONS = 16


class _StudyTags(BaseModel):
    study_instance_uid: str = Field(alias="StudyInstanceUID")


class _Study(BaseModel):
    tags: _StudyTags = Field(alias="MainDicomTags")


class _Found(BaseModel):
    kind: str = Field(alias="Type")
    resource: str = Field(alias="ID")


_FOUND = TypeAdapter(list[_Found])


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request of DICOMweb, and by which address the asker reaches us."""

    path: str = field(repr=False)
    """Below the root of the services, e.g. ``studies/1.2.3/metadata``."""
    query: str = field(default="", repr=False)
    accept: str = ""
    asked_as: str = ""
    """``http://host:port``, in place of the archive's own address in the answer's links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The archive's answer, whose body comes as it is read."""

    status: int
    headers: Mapping[str, str]
    """Type and length of the body, nothing else."""
    body: AsyncIterator[bytes] = field(repr=False)


class ArchiveGateway:
    """The appliance's Orthanc, read only; for one event loop, and closed by it."""

    def __init__(self, peer: OrthancPeer) -> None:
        self._client = httpx.AsyncClient(
            base_url=peer.url,
            auth=(peer.user, peer.password) if peer.user else None,
            headers={"Accept-Encoding": "identity"},
            timeout=httpx.Timeout(peer.timeout_s, connect=min(5.0, peer.timeout_s), pool=None),
            limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def answers(self) -> bool:
        """Return whether the archive is there and lets us in."""
        try:
            return (await self._client.get("/system")).is_success
        except httpx.HTTPError:
            return False

    async def study_instance_uid(self, study_id: str) -> str:
        """Return the Study Instance UID of the study with a handle.

        Raises Refusal ``study-gone`` when it was deleted, Transient ``archive-unreachable``.
        """
        try:
            answer = await self._client.get(f"/studies/{study_id}")
        except httpx.HTTPError as error:
            raise _away(type(error).__name__) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise _gone()
        try:
            return _Study.model_validate_json(answer.content).tags.study_instance_uid
        except ValidationError:
            # Not chained: pydantic quotes the answer, and the answer names a patient.
            raise _away(f"HTTP {answer.status_code}") from None

    async def instance(self, sop_instance_uid: str) -> bytes:
        """Return the Part 10 file of an instance.

        Raises Refusal ``study-gone`` when it was deleted, Transient ``archive-unreachable``.
        """
        try:
            found = await self._client.post("/tools/lookup", content=sop_instance_uid)
            known = _FOUND.validate_json(found.content)
            (name, *_) = [one.resource for one in known if one.kind == "Instance"] or [""]
            answer = await self._client.get(f"/instances/{name}/file") if name else None
        except httpx.HTTPError as error:
            raise _away(type(error).__name__) from error
        except ValidationError:
            raise _away("no JSON") from None
        if answer is None or answer.status_code == httpx.codes.NOT_FOUND:
            raise _gone()
        if not answer.is_success:
            raise _away(f"HTTP {answer.status_code}")
        return answer.content

    async def dicomweb(self, question: Question) -> Answer | None:
        """Return the answer of QIDO-RS or WADO-RS, None when the path is none that reads.

        Raises Transient ``archive-unreachable``, also while the body is read.
        """
        if not _READ.fullmatch(question.path):
            return None
        # Orthanc makes absolute links of the address that it is told of (RFC 7239).
        scheme, _, host = question.asked_as.partition("://")
        headers = {"Accept": question.accept} if question.accept else {}
        headers |= {"Forwarded": f"proto={scheme};host={host}"} if host else {}
        search = Search.of(question.query) if question.path.endswith(_LEVELS) else None
        query = search.query if search else question.query
        url = httpx.URL(path=f"/dicom-web/{question.path}", query=query.encode())
        request = self._client.build_request("GET", url, headers=headers)
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise _away(type(error).__name__) from error
        if answer.status_code not in _PASSED:
            await answer.aclose()
            raise _away(f"HTTP {answer.status_code}")
        if search and search.wanted and answer.is_success:
            return await _chosen(answer, search)
        told = {name: answer.headers.get(name) for name in ("Content-Type", "Content-Length")}
        return Answer(
            status=answer.status_code,
            headers={name: value for name, value in told.items() if value},
            body=_body(answer),
        )


async def _chosen(answer: httpx.Response, search: Search) -> Answer:
    """Return those of the archive's matches that were meant."""
    try:
        found = search.chosen(await answer.aread())
    except httpx.HTTPError as error:
        raise _away(type(error).__name__) from error
    except ValidationError:
        # Not chained: pydantic quotes the answer, and the answer names patients.
        raise _away("no JSON") from None
    finally:
        await answer.aclose()
    headers = {"Content-Type": "application/dicom+json", "Content-Length": str(len(found))}
    return Answer(status=answer.status_code, headers=headers, body=_whole(found))


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        raise _away(type(error).__name__) from error
    finally:
        await answer.aclose()


def _gone() -> Refusal:
    return Refusal("study-gone", "The study, or a part of it, was deleted in the archive.")


def _away(how: str) -> Transient:
    return Transient("archive-unreachable", f"The archive does not answer ({how}).")
