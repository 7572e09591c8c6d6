"""Files without end, one after the other or in several processes: each ends clean or in quarantine.

What was done before, by the certificate, is skipped; nothing is kept in memory but digests. Where
faces are looked for, all files are first put with those of their series, by their first bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from clic_edge import __version__
from clic_edge.deid.certificate import (
    Certificate,
    EndRecord,
    ObjectRecord,
    RunRecord,
    StudyRecord,
    public_key,
)
from clic_edge.deid.crew import Crew
from clic_edge.deid.crosswalk import Entry, seal
from clic_edge.deid.file import (
    CHECKS,
    PARTS,
    Bench,
    FileSource,
    Held,
    Source,
    Written,
    source_digest,
)
from clic_edge.deid.standard import EDITION
from clic_edge.deid.survey import Index, chunks
from clic_edge.errors import ConfigError, Defect, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from clic_edge.deid.survey import Unit

QUARANTINE = "quarantine.jsonl"
_SYNC_EVERY = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Crosswalks:
    """Where the sealed way back is kept, and until when it opens."""

    folder: Path
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to do with the files."""

    bench: Bench
    workers: int = 1
    crosswalks: Crosswalks | None = None
    """None keeps no way back but the key and the originals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of the files of one run."""

    written: int
    skipped: int
    """Done by an earlier run."""
    held: tuple[tuple[str, Held], ...] = field(repr=False)
    """What is in quarantine, with the origin that only the operator may see."""
    counts: tuple[tuple[str, int], ...]
    """Attributes by what became of them, of the files written in this run."""

    @property
    def held_by_code(self) -> tuple[tuple[str, int], ...]:
        """How many files are in quarantine for which reason."""
        return tuple(sorted(Counter(held.code for _, held in self.held).items()))


@dataclass(slots=True)
class _Study:
    """What the certificate says of one study so far."""

    subject: str
    objects: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    is_summed_up: bool = False

    def add(self, record: ObjectRecord) -> None:
        """Count one object."""
        self.objects += 1
        self.counts.update(record.counts)
        self.is_summed_up = False


class RunCutShort(Defect):
    """An error that nobody expected ended a run; what was done stays, and `summary` tells of it."""

    def __init__(self, error: BaseException, summary: Summary) -> None:
        # The error's text may quote a value, so only its type is told.
        super().__init__(
            "unexpected-error",
            f"{type(error).__name__} over a file ended the run; what is done stays. Report it, take"
            " away what the report names under this code, and run again.",
        )
        self.summary = summary


def clean_all(sources: Iterable[Source], order: Order, progress: Callable[[int], None]) -> Summary:
    """Clean every source into the output folder, and write certificate and quarantine beside.

    `progress` is told how many sources are through, each time some are.

    Raises
    ------
    ConfigError
        ``out-busy``, or ``other-policy``: the folder holds files of another policy or key.
    Defect
        ``broken-certificate``; ``workers-die``: no process lives long enough to clean a file;
        ``unexpected-error`` (`RunCutShort`): a second run goes on from there.
    Transient
        ``out-unwritable``: what was written so far stays, and a second run goes on from there.

    """
    bench = order.bench
    bench.out.mkdir(parents=True, exist_ok=True)
    with Certificate(bench.out, bench.key) as certificate:
        run = _Run(order, certificate, progress)
        _clear(bench.out / PARTS)
        with (
            (bench.out / QUARANTINE).open("w", encoding="ascii") as quarantine,
            Crew(bench, order.workers) as crew,
        ):
            for source, result in crew.cleaned(run.units(sources, crew, quarantine)):
                run.take(source, result, quarantine)
        if crew.failure:
            raise RunCutShort(crew.failure, run.summary()) from crew.failure
        return run.end()


def sources_below(folder: Path) -> Iterator[Source]:
    """Yield every file below a folder, or the file itself, in the order of names."""
    if folder.is_file():
        yield FileSource(folder)
    for root, folders, files in os.walk(folder):
        folders.sort()
        yield from (FileSource(Path(root, name)) for name in sorted(files))


class _Run:
    """One run over one output folder: what was there, and what comes to it."""

    def __init__(
        self, order: Order, certificate: Certificate, progress: Callable[[int], None]
    ) -> None:
        self._order = order
        self._progress = progress
        self._certificate = certificate
        self._done: set[bytes] = set()
        self._studies: dict[str, _Study] = {}
        self._held: list[tuple[str, Held]] = []
        self._counts: Counter[str] = Counter()
        self._written = self._skipped = 0
        self._replay()
        certificate.append(_beginning(order.bench))

    def units(self, sources: Iterable[Source], crew: Crew, quarantine: TextIO) -> Iterator[Unit]:
        """Yield what no earlier run has done: file by file, or in whole series to judge faces by."""
        if self._order.bench.profile.faces == "ignore":
            yield from chunks(self._pending(sources))
            return
        index, left = Index(), 0
        for source, place in crew.places(chunks(sources), with_digests=bool(self._done)):
            if isinstance(place, Held):
                self.take(source, place, quarantine)
            else:
                index.add(source, place, is_done=place.digest_in in self._done)
                left += 1
        if crew.failure:
            return
        for unit in index.units():
            left -= len(unit.sources)
            yield unit
        self._skip(left)

    def _pending(self, sources: Iterable[Source]) -> Iterator[Source]:
        for source in sources:
            if self._done and self._is_done(source):
                self._skip(1)
            else:
                yield source

    def _skip(self, count: int) -> None:
        self._skipped += count
        self._progress(count)

    def take(self, source: Source, result: Written | Held, quarantine: TextIO) -> None:
        """Write down what became of one source; one that was done before was only judged again."""
        if result.digest_in and bytes.fromhex(result.digest_in) in self._done:
            self._skip(1)
            return
        self._progress(1)
        if isinstance(result, Held):
            line = {
                "digest_in": result.digest_in,
                "code": result.code,
                "reason": result.sentence,
            }
            quarantine.write(json.dumps(line) + "\n")
            quarantine.flush()
            self._held.append((source.origin, result))
        else:
            self._certify(result)
        if (self._written + len(self._held)) % _SYNC_EVERY == 0:
            self._certificate.sync()

    def summary(self) -> Summary:
        """Return what became of the sources so far."""
        return Summary(
            written=self._written,
            skipped=self._skipped,
            held=tuple(self._held),
            counts=tuple(sorted(self._counts.items())),
        )

    def end(self) -> Summary:
        """Sum up each study that grew, and the run."""
        for uid, study in self._studies.items():
            if not study.is_summed_up:
                self._certificate.append(
                    StudyRecord(
                        study=uid,
                        subject=study.subject,
                        objects=study.objects,
                        counts=dict(study.counts),
                    )
                )
        summary = self.summary()
        self._certificate.append(
            EndRecord(
                objects=sum(study.objects for study in self._studies.values()),
                quarantined=dict(summary.held_by_code),
            )
        )
        (self._order.bench.out / PARTS).rmdir()
        return summary

    def _replay(self) -> None:
        bench = self._order.bench
        for record in self._certificate.records():
            match record:
                case RunRecord():
                    same = (record.policy_digest, record.key_id) == (
                        bench.profile.digest,
                        bench.key.key_id,
                    )
                    if not same:
                        raise ConfigError(
                            "other-policy",
                            f"{bench.out} holds files of another policy or key; name a new folder.",
                        )
                case ObjectRecord():
                    self._add(record)
                    if (bench.out / record.name).is_file():
                        self._done.add(bytes.fromhex(record.digest_in))
                case StudyRecord():
                    self._studies[record.study].is_summed_up = True

    def _is_done(self, source: Source) -> bool:
        try:
            digest = source_digest(self._order.bench.key, source.read())
        except (Refusal, Defect):
            return False  # it is held when its turn comes
        return bytes.fromhex(digest) in self._done

    def _certify(self, written: Written) -> None:
        record = ObjectRecord(
            name=written.name,
            subject=written.subject_id,
            study=written.study_uid,
            series=written.series_uid,
            sop_class=written.sop_class_uid,
            digest_in=written.digest_in,
            digest_out=written.digest_out,
            counts={str(outcome): count for outcome, count in written.counts.items()},
        )
        if crosswalks := self._order.crosswalks:
            seal(
                crosswalks.folder,
                written.study_uid,
                _entry(written),
                key=self._order.bench.key,
                expires_at=crosswalks.expires_at,
            )
        self._certificate.append(record)
        self._add(record)
        self._counts.update(record.counts)
        self._written += 1

    def _add(self, record: ObjectRecord) -> None:
        self._studies.setdefault(record.study, _Study(record.subject)).add(record)


def _clear(parts: Path) -> None:
    """Make the folder of parts, without what a run that was killed left half-written."""
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()


def _beginning(bench: Bench) -> RunRecord:
    return RunRecord(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        software=f"clic-edge {__version__}",
        profile=bench.profile.name,
        policy_digest=bench.profile.digest,
        table_edition=EDITION,
        key_id=bench.key.key_id,
        public_key=public_key(bench.key),
        checks=CHECKS,
    )


def _entry(written: Written) -> Entry:
    return Entry(
        subject_id=written.subject_id,
        patient_id=written.subject.patient_id,
        issuer_of_patient_id=written.subject.issuer_of_patient_id,
        patient_name=written.subject.patient_name,
        uids=written.uids,
    )
