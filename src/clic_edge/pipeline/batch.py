"""A retrospective run over an archive: studies become background cases, a few at a time.

What drives a batch may end at any moment: each study's state lies in the ledger, which names it by
a digest; the archive is asked again when it goes on.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from clic_edge.domain.batch import BatchState, StudyState
from clic_edge.domain.case import Priority
from clic_edge.domain.standing import ModelState
from clic_edge.domain.study import digest_of
from clic_edge.errors import ConfigError, Refusal, Transient
from clic_edge.pipeline.deadlines import OLD
from clic_edge.pipeline.intake import NO_PIPELINE, foreign_instances, propose

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from clic_edge.config import Pipeline
    from clic_edge.domain.batch import Batch, Progress
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.transport import Archive, StudySource

KEYWORDS: Final = MappingProxyType(
    {
        "Modality": "ModalitiesInStudy",
        "ModalitiesInStudy": "ModalitiesInStudy",
        "StudyDate": "StudyDate",
        "StudyDescription": "StudyDescription",
    }
)
"""What a query may ask for, and what the archive is asked: nothing that names a person."""
_SINCE_TO: Final = re.compile(r"(\d{8})?-?(\d{8})")
_LOOK_SECONDS: Final = 0.5


def parse_query(query: str, *, today: date, brings: bool) -> Mapping[str, str]:
    """Return what an archive is asked, of ``Modality=MR,StudyDate=20250101-20251231``.

    Raises
    ------
    ConfigError
        ``batch-query``: it is malformed, asks for something that names a person, or might bring
        studies that are still under way: those that are brought must be from before today.

    """
    found = dict[str, str]()
    for part in query.split(","):
        keyword, sign, value = part.partition("=")
        if not sign or not value.strip() or keyword.strip() not in KEYWORDS:
            raise ConfigError(
                "batch-query",
                f"Write KEYWORD=VALUE,… with {', '.join(KEYWORDS)} as keywords.",
            )
        found[KEYWORDS[keyword.strip()]] = value.strip()
    dates = _SINCE_TO.fullmatch(found.get("StudyDate", ""))
    if brings and (dates is None or dates[2] >= f"{today:%Y%m%d}"):
        raise ConfigError(
            "batch-query",
            "Say which days, with the last before today: StudyDate=20250101-20251231; what comes "
            "now is not the batch's.",
        )
    return MappingProxyType(found)


def require_shadow(ledger: Ledger, pipeline: str) -> None:
    """Return where nothing of a pipeline is delivered.

    Raises
    ------
    ConfigError
        ``batch-not-shadow``: a model is active in it.

    """
    standing = ledger.standing.standing(pipeline).values()
    if any(one.now is ModelState.ACTIVE for one in standing):
        raise ConfigError(
            "batch-not-shadow",
            f"A model is active in {pipeline}, and its results would be delivered; give the batch "
            "a pipeline whose model stands in the shadow.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process that drives one batch."""

    batch: Batch
    query: Mapping[str, str]
    limit: int
    """Studies at most; 0 for all."""
    pipeline: Pipeline
    source: StudySource
    archive: Archive
    ledger: Ledger

    def drive(self, stop: threading.Event, tell: Callable[[Progress], None]) -> BatchState:
        """Run the batch until it is done, or somebody pauses or cancels it; return how it stands.

        `tell` is given the progress every few seconds. Stopped, it can go on any time.

        Raises
        ------
        Transient
            The archive could not be asked what it holds.

        """
        batches, name = self.ledger.batches, self.batch.batch_id
        uids = self._enlist()
        self._recover(uids)
        begun, admitted = datetime.now(UTC), 0
        while not stop.is_set():
            state = batches.batch(name).state
            if state is not BatchState.OPEN:
                return state
            is_open = batches.settle(name)
            room = min(self.batch.room - is_open, self._allowed(begun) - admitted)
            some = batches.pending(name, max(room, 0))
            for digest in some:
                if stop.is_set():
                    break
                self._begin(digest, uids.get(digest))
                admitted += 1
            tell(batches.progress(name, datetime.now(UTC)))
            if not some and not is_open and not batches.pending(name, 1):
                batches.move(name, BatchState.DONE)
                return BatchState.DONE
            if not some:
                stop.wait(_LOOK_SECONDS)
        return BatchState.OPEN

    def _enlist(self) -> Mapping[str, str]:
        """Return the studies that the archive holds, by digest; new ones are added to the batch."""
        uids = {digest_of([uid]): uid for uid in self.source.find(self.query) if uid}
        chosen = sorted(uids)[: self.limit or None]
        self.ledger.batches.enlist(self.batch.batch_id, chosen)
        return uids

    def _recover(self, uids: Mapping[str, str]) -> None:
        """Let what a process was fetching when it died be fetched again, and what failed.

        What is here of such a study makes no cases while the rest is on its way.
        """
        batches, name = self.ledger.batches, self.batch.batch_id
        for digest in batches.fetching(name):
            here = self._part_here(uids[digest]) if digest in uids else None
            batches.put(name, digest, StudyState.PENDING, instances=here)
        batches.again(name)

    def _allowed(self, begun: datetime) -> int:
        """Return how many studies may have begun by now."""
        if not self.batch.per_hour:
            return self.batch.room + 10**9
        return 1 + int((datetime.now(UTC) - begun) / timedelta(hours=1) * self.batch.per_hour)

    def _begin(self, digest: str, uid: str | None) -> None:
        """Bring one study, and make it a case."""
        put, name = self.ledger.batches.put, self.batch.batch_id
        if uid is None:
            put(name, digest, StudyState.FAILED, code="study-gone")
            return
        if self.source.brings:
            put(name, digest, StudyState.FETCHING)
        try:
            handle = self.source.fetch(uid)
            if handle is None:
                put(name, digest, StudyState.FAILED, code="study-gone")
                return
            self._admit(digest, handle)
        except (Refusal, Transient) as why:
            put(name, digest, StudyState.FAILED, code=why.code, instances=self._part_here(uid))

    def _part_here(self, uid: str) -> int | None:
        """Return how many images came of a study that failed halfway: they make no cases alone."""
        with suppress(Refusal, Transient):
            handle = self.source.here(uid) if self.source.brings else None
            return foreign_instances(self.archive.study(handle)) if handle else None
        return None

    def _admit(self, digest: str, handle: str) -> None:
        put, name = self.ledger.batches.put, self.batch.batch_id
        study = self.archive.study(handle)
        # What came by itself lately may still wait for its own cases, and is not the batch's.
        is_past = self.source.brings or study.seconds_since_last_instance > OLD.total_seconds()
        here = foreign_instances(study) if is_past else None
        wanted = [
            one
            for one in propose(study, (self.pipeline,), expedited=True)
            if one.pipeline != NO_PIPELINE
        ]
        if not wanted:
            put(name, digest, StudyState.NOT_TAKEN, instances=here)
            return
        (admission,) = wanted
        known = {one.case_id for one in self.ledger.cases.of_study(handle)}
        quiet = replace(admission, priority=Priority.BACKGROUND, due_at=None)
        case = self.ledger.cases.admit(quiet)
        was_there = case.case_id in known and case.state.is_end
        state = StudyState.KNOWN if was_there else StudyState.RUNNING
        own = None if was_there else case.case_id
        put(name, digest, state, instances=here, case_id=own)
