"""The bundle: gathered, swept for secrets, and packed; the same content is the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from clic_edge.errors import ClicEdgeError
from clic_edge.ledger.database import DatabaseFailed
from clic_edge.support.log_lines import filtered
from clic_edge.support.machine import Asked, Checked, Health, Versions, health, versions
from clic_edge.support.plain_cases import MOST_CASES, Handles, PlainCase, plain_case
from clic_edge.support.plain_settings import SECRET, plain, secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from clic_edge.ledger import Ledger
    from clic_edge.ledger.inside import Inside
    from clic_edge.pacs.technical import TechnicalSeries

README: Final = """\
This is a support bundle of clic-edge. It holds no patient, no staff and no secret.

config.json     settings, pipelines and profiles; users, addresses of people, and the paths
                and queries of URLs are withheld; of files with secrets their mode is told
versions.json   clic-edge, Python and its packages, Debian, GPUs
orthanc.json    version and plugins of the archive
check.jsonl     what `clic-edge check` finds, but for models, which are not loaded for it;
                `no-time` where the rest took too long
health.json     disk, clock, memory, ports, and which places answer
database.json   kind, revision and the number of rows of each table
cases.jsonl     the newest and the held cases: times, codes, stages, receipts; of cases that
                were named, numbers and codes of their images (spacing, position, syntax)
log.jsonl       events of clic-edge alone, with the keys that are known to be safe
metrics.txt     what /metrics answers
manifest.json   SHA-256 of each of these files

Cases, studies, series and objects stand under names that were made for this bundle: the same
thing has the same name in all of its files, and nobody can get back from it, the site itself
neither, but for cases that were named when it was made: those it was told.
What could not be had is left out. Texts that people typed are left out: reasons of a retry or a
withdrawal, comments, names. So are image descriptions, dates of birth, and every UID.
"""
CHECK_SECONDS: Final = 60.0
"""After which no further look is begun; what asks a server ends by that server's own time-out."""
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)
"""Of every member: ZIP knows none before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a bundle comes from."""

    configuration: tuple[tuple[str, BaseModel], ...] = field(repr=False)
    """Settings, pipelines and profiles, by name; empty where they could not be read."""
    broken: str = ""
    """Code of what is wrong with them."""
    ledger: Ledger | None = field(default=None, repr=False)
    database: Callable[[], Inside] | None = None
    state: Path
    ports: tuple[tuple[str, int], ...] = ()
    probes: tuple[tuple[str, Callable[[], object]], ...] = ()
    """What asks whether a place is there."""
    check: Callable[[], Iterable[Checked]] | None = None
    orthanc: Callable[[], tuple[tuple[str, str], ...]] | None = None
    metrics: Callable[[], bytes] | None = None
    look: Callable[[str], TechnicalSeries | None] | None = None
    log_lines: Callable[[], Iterable[str]]
    names: frozenset[str] = frozenset()
    """Of pipelines, models and destinations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What is handed over, and which name stands for which case that was asked for."""

    content: bytes = field(repr=False)
    """A ZIP file."""
    cases: tuple[tuple[str, str], ...]
    """Name in the bundle, and the case's id: for the site, not in the bundle."""


def make_bundle(sources: Sources, *, case_ids: tuple[str, ...] = (), key: bytes) -> Bundle:
    """Return the bundle; what is away is left out. `key` makes its names, and is forgotten.

    Raises
    ------
    ConfigError
        ``no-such-case``.

    """
    handles = Handles(key)
    members = {"README.txt": README.encode()}
    for name, make in _members(sources, case_ids, handles):
        try:
            members[name] = make()
        except (ClicEdgeError, DatabaseFailed, OSError) as problem:
            code = _code(problem)
            if case_ids and code == "no-such-case":
                raise
            members[name] = _json({"absent": code})
    secrets = frozenset[str]().union(*(secrets_in(one) for _, one in sources.configuration))
    swept = {name: _swept(content, secrets) for name, content in members.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in swept.items()}
    swept["manifest.json"] = _json({"files": digests})
    return Bundle(content=_packed(swept), cases=tuple((handles.case(one), one) for one in case_ids))


def _code(problem: ClicEdgeError | DatabaseFailed | OSError) -> str:
    match problem:
        case ClicEdgeError(code=code):
            return code
        case OSError():
            return "not-readable"  # the pages' user may look into few folders
        case _:
            return "database-away"


def _members(
    sources: Sources, case_ids: tuple[str, ...], handles: Handles
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "config.json", lambda: _configuration(sources)
    yield "versions.json", lambda: _dump(versions())
    yield "health.json", lambda: _dump(_health(sources))
    yield "log.jsonl", lambda: _log(sources, handles)
    if check := sources.check:
        yield "check.jsonl", lambda: _checks(check())
    if archive := sources.orthanc:
        yield "orthanc.json", lambda: _json(dict(archive()))
    if database := sources.database:
        yield "database.json", lambda: _dump(database())
    if ledger := sources.ledger:
        yield "cases.jsonl", lambda: _cases(ledger, case_ids, handles, look=sources.look)
    if scrape := sources.metrics:
        yield "metrics.txt", scrape


def _configuration(sources: Sources) -> bytes:
    said = {name: plain(one) for name, one in sources.configuration}
    return _json(said | ({"broken": sources.broken} if sources.broken else {}))


def _health(sources: Sources) -> Health:
    asked = tuple(Asked(place=name, code=_asked(ask)) for name, ask in sources.probes)
    return health(sources.state, sources.ports, asked)


def _asked(ask: Callable[[], object]) -> str:
    try:
        ask()
    except ClicEdgeError as problem:
        return problem.code
    return ""


def _checks(found: Iterable[Checked]) -> bytes:
    """Return what was found until the time was up, URLs without user, path and query."""
    until, line = monotonic() + CHECK_SECONDS, TypeAdapter(Checked)
    told = []
    for one in found:
        words = {name: _words(getattr(one, name)) for name in ("what", "seen")}
        told.append(replace(one, **words))
        if monotonic() > until:
            told.append(Checked(what="the rest", verdict="look", code="no-time", seen=""))
            break
    return b"".join(line.dump_json(one) + b"\n" for one in told)


def _words(text: str) -> str:
    return " ".join(str(plain(word)) for word in text.split(" "))


def _log(sources: Sources, handles: Handles) -> bytes:
    lines = filtered(sources.log_lines(), names=sources.names, handle=handles.case)
    return "".join(f"{line}\n" for line in lines).encode()


def _cases(
    ledger: Ledger,
    case_ids: tuple[str, ...],
    handles: Handles,
    *,
    look: Callable[[str], TechnicalSeries | None] | None,
) -> bytes:
    """Return the cases that were named, with their images, and the newest and the held without."""
    line = TypeAdapter(PlainCase)
    named = {one: ledger.cases.case(one) for one in case_ids}
    others = {one.case_id: one for one in ledger.cases.all((), MOST_CASES)}
    found = [plain_case(ledger, one, handles, look=look) for one in named.values()]
    found += [plain_case(ledger, one, handles) for name, one in others.items() if name not in named]
    return b"".join(line.dump_json(one) + b"\n" for one in found)


def _dump(value: Versions | Health | Inside) -> bytes:
    return _json(TypeAdapter(type(value)).dump_python(value, mode="json"))


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _swept(content: bytes, secrets: frozenset[str]) -> bytes:
    """Return a member without any secret, however it came there; the last gate."""
    for one in sorted(secrets, key=len, reverse=True):
        for written in {one, json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1]}:
            content = content.replace(written.encode(), SECRET.encode())
    return content


def _packed(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(members):
            entry = zipfile.ZipInfo(f"clic-edge-support/{name}", date_time=_MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            packed.writestr(entry, members[name])
    return buffer.getvalue()
