"""Which sources belong together: those of one series of one patient, whatever folder they lie in."""

from __future__ import annotations

import contextlib
import os
from collections import Counter, defaultdict
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from clic_edge.deid import part10
from clic_edge.deid.file import SERIES, source_digest
from clic_edge.dicom.planes import CLASSIC, ENHANCED
from clic_edge.errors import Defect, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from clic_edge.deid.file import Bench, Source

OPENING = 1 << 14
"""Bytes of a file that are read to place it; a header that is longer is read whole."""
MOST_TOGETHER = 1 << 30
"""Bytes, of files or of their voxels, that are judged together at most: it takes three times as
much memory, seven times where a face is cut away."""
FRAMES, ROWS, COLUMNS = 0x00280008, 0x00280010, 0x00280011
_PATIENT_ID, _ISSUER = 0x00100020, 0x00100021
_SOP_CLASS = 0x00080016
_VOXEL, _CHUNK, _LONGEST_COUNT = 2, 16, 12


class Place(NamedTuple):
    """Where a source belongs."""

    series: bytes
    """A digest of patient and series; empty for what is no image of a volume."""
    size: int
    """Bytes that it takes, as a file or as voxels."""
    digest_in: bytes
    """As of `Written`; empty where it was not asked for."""


NOWHERE = Place(b"", 0, b"")


def places(bench: Bench, sources: Sequence[Source], *, with_digests: bool) -> list[Place]:
    """Return where each source belongs; digests take reading it whole."""
    return [_place(bench, source, with_digest=with_digests) for source in sources]


def _place(bench: Bench, source: Source, *, with_digest: bool) -> Place:
    if not with_digest and source.path is not None and source.path.is_file():
        with contextlib.suppress(OSError, Defect), source.path.open("rb") as file:
            opening = part10.opening(file.read(OPENING), COLUMNS)
            return _of(*opening, size=os.fstat(file.fileno()).st_size)
    try:
        content = source.read()
        digest = bytes.fromhex(source_digest(bench.key, content)) if with_digest else b""
        read = part10.read(content)
    except (Refusal, Defect):
        return NOWHERE  # it is held when its turn comes
    found = {one.tag: bytes(one.value) for one in reversed(read.elements) if one.tag <= COLUMNS}
    return _of(read.encoding, found, size=len(content))._replace(digest_in=digest)


def _of(encoding: part10.Encoding, found: dict[int, bytes], *, size: int) -> Place:
    order: Literal["little", "big"] = "little" if encoding.little else "big"
    rows, columns = (int.from_bytes(found.get(tag, b"")[:2], order) for tag in (ROWS, COLUMNS))
    stated = found.get(FRAMES, b"").strip(b" \0")
    frames = int(stated) if stated.isdigit() and len(stated) <= _LONGEST_COUNT else 1
    uid = found.get(SERIES, b"").strip(b" \0")
    sop_class = found.get(_SOP_CLASS, b"").strip(b" \0").decode("latin-1")
    if not uid or sop_class not in CLASSIC | ENHANCED | {""}:
        return Place(b"", size, b"")
    named = (uid, *(found.get(tag, b"").strip(b" \0") for tag in (_PATIENT_ID, _ISSUER)))
    digest = sha256(b"\0".join(named)).digest()[:16]
    return Place(digest, max(size, rows * columns * frames * _VOXEL), b"")


class Unit(NamedTuple):
    """Sources that one process cleans at a time."""

    sources: tuple[Source, ...]
    is_series: bool
    """Whether they are judged together; else each alone."""


class Index:
    """Sources by where they belong; each takes about a third of a kilobyte of memory."""

    def __init__(self) -> None:
        self._series: dict[bytes, list[Source]] = defaultdict(list)
        self._sizes: Counter[bytes] = Counter()
        self._pending: set[bytes] = set()
        self._alone: list[Source] = []

    def add(self, source: Source, place: Place, *, is_done: bool) -> None:
        """Add a source; one that is done counts only where it is judged with others."""
        if place.series:
            self._series[place.series].append(source)
            self._sizes[place.series] += place.size
            if not is_done:
                self._pending.add(place.series)
        elif not is_done:
            self._alone.append(source)

    def units(self) -> Iterator[Unit]:
        """Yield every series of which a source is pending, whole; then what is judged alone.

        So is a series of more than `MOST_TOGETHER`.
        """
        for series, sources in self._series.items():
            if series not in self._pending:
                continue
            if len(sources) == 1 or self._sizes[series] > MOST_TOGETHER:
                self._alone += sources
            else:
                yield Unit(tuple(sources), is_series=True)
        yield from chunks(self._alone)


def chunks(sources: Iterable[Source]) -> Iterator[Unit]:
    """Yield sources that are judged alone, a few at a time."""
    remaining = iter(sources)
    while chunk := tuple(islice(remaining, _CHUNK)):
        yield Unit(chunk, is_series=False)
