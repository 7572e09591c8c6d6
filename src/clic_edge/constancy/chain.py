"""One study at a time through the whole chain, as a patient's goes, and away again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import Announced, Outcome, Verdict, is_constancy
from clic_edge.domain.result import ResultKind, ResultObject
from clic_edge.errors import ClicEdgeError, Defect, Transient
from clic_edge.pacs.phantoms import handle_of
from clic_edge.pipeline.intake import proposals
from clic_edge.results.readback import read_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clic_edge.config import Pipeline, Settings
    from clic_edge.constancy.studies import Study
    from clic_edge.domain.case import Case
    from clic_edge.ledger import Ledger
    from clic_edge.pacs.phantoms import PhantomShelf
    from clic_edge.pacs.transport import Archive

_T = TypeVar("_T")
_POLLING_SECONDS = 0.2
_SIGN_OF_LIFE = timedelta(seconds=20)
_BUSY = {CaseState.RECEIVED, CaseState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The appliance as constancy uses it: studies in by C-STORE, results out of their folder."""

    settings: Settings
    pipelines: tuple[Pipeline, ...]
    ledger: Ledger = field(repr=False)
    archive: Archive = field(repr=False)
    shelf: PhantomShelf = field(repr=False)
    stop: threading.Event = field(default_factory=threading.Event)
    """Set where the process is to end: the run is given up, and nothing stays behind."""

    def outcome(self, study: Study, announced: Announced) -> Outcome:
        """Send a study, follow it to its end, return what its destination got, and remove it all.

        Raises
        ------
        Transient
            ``constancy-stopped``; as `PhantomShelf.send`; as the archive raises.
        Defect
            ``phantom-not-taken``: no case was made of the study in time;
            ``phantom-not-delivered``: an object of it is not where it was delivered to.

        """
        self._give_way(announced.run_id)
        self.ledger.constancy.announce(announced)
        begun = perf_counter()
        try:
            self.shelf.send(study.files)
            case = self._follow(announced)
            objects = tuple(self._delivered(case))
            measured, outlines = read_back(objects)
            return Outcome(
                case=announced.case,
                state=case.state,
                code=case.code,
                objects=tuple(sorted(one.kind for one in objects)),
                measured=measured,
                outlines=outlines,
                device=", ".join(self.ledger.predictions.devices(case.case_id)),
                seconds=round(perf_counter() - begun, 3),
            )
        finally:
            self.clean(announced)

    def clean(self, announced: Announced) -> bool:
        """Remove a study and all that was made of it; False where a part is left for the next time."""
        self.shelf.remove(announced.study_id)
        for case in self.ledger.cases.of_study(announced.study_id):
            for row in self.ledger.deliveries.results(case.case_id):
                self._path(row.kind, row.sop_instance_uid).unlink(missing_ok=True)
        return self.ledger.constancy.clear(announced.study_id)

    def _give_way(self, run_id: str) -> None:
        """Return when no patient's case is under way, or the site's patience with that is over."""
        patience = timedelta(minutes=self.settings.constancy.give_way_minutes)
        self._wait(run_id, patience, lambda: True if not self._is_busy() else None)

    def _is_busy(self) -> bool:
        return any(
            case.state in _BUSY and not is_constancy(case.pipeline)
            for case in self.ledger.cases.under_way()
        )

    def _follow(self, announced: Announced) -> Case:
        (expected, *_) = proposals(
            self.archive.study(announced.study_id), self.pipelines, ledger=self.ledger
        )

        def ended() -> Case | None:
            for case in self.ledger.cases.of_study(announced.study_id):
                if case.content_id == expected.case_id and case.state.is_end:
                    return case
            return None

        patience = timedelta(minutes=self.settings.constancy.case_minutes)
        case = self._wait(announced.run_id, patience, ended)
        if case:
            return case
        for one in self.ledger.cases.of_study(announced.study_id):
            if one.content_id == expected.case_id:
                return one  # that it is not done is what it says
        raise Defect(
            "phantom-not-taken",
            f"{self.settings.constancy.case_minutes:g} minutes after case {announced.case} was "
            "sent, nothing has become of it: is the worker running, and the plugin in Orthanc?",
        )

    def _wait(self, run_id: str, patience: timedelta, look: Callable[[], _T | None]) -> _T | None:
        """Return what `look` finds as soon as it does; None when the patience is over."""
        begun = told = datetime.now(UTC)
        while (found := look()) is None:
            if self.stop.wait(_POLLING_SECONDS):
                raise Transient("constancy-stopped", "The worker ends; the run is made up for.")
            now = datetime.now(UTC)
            if now - told > _SIGN_OF_LIFE:
                self.ledger.constancy.alive(run_id, now)
                told = now
            if now - begun > patience:
                return None
        return found

    def _delivered(self, case: Case) -> list[ResultObject]:
        found = []
        for row in self.ledger.deliveries.results(case.case_id):
            try:
                content = self._path(row.kind, row.sop_instance_uid).read_bytes()
            except OSError as error:
                if case.state is CaseState.QUARANTINED:
                    continue  # it was not to be delivered
                raise Defect(
                    "phantom-not-delivered", f"The {row.kind} of a phantom was not delivered."
                ) from error
            found.append(
                ResultObject(
                    kind=ResultKind(row.kind),
                    sop_class_uid=row.sop_class_uid,
                    series_instance_uid=row.series_instance_uid,
                    sop_instance_uid=row.sop_instance_uid,
                    content=content,
                )
            )
        return found

    def _path(self, kind: ResultKind, sop_instance_uid: str) -> Path:
        return self.settings.appliance.phantoms / f"{kind}-{sop_instance_uid}.dcm"


def announcement(study: Study, *, run_id: str, case: str, pipeline: str) -> Announced:
    """Return what lets a study in."""
    return Announced(
        study_id=handle_of(study.patient_id, study.study_instance_uid),
        run_id=run_id,
        case=case,
        pipeline=pipeline,
        at=datetime.now(UTC),
    )


def sweep(chain: Chain, *, now: datetime) -> int:
    """Give up runs whose process is gone, remove what they left, and return how much is left still."""
    for run in chain.ledger.constancy.silent(now):
        chain.ledger.constancy.finish(
            run.run_id, Verdict.INCOMPLETE, at=now, reason="The process that ran it was ended."
        )
    under_way = {one.run_id for one in chain.ledger.constancy.runs() if one.ended_at is None}
    left = [one for one in chain.ledger.constancy.announced() if one.run_id not in under_way]
    return sum(not _cleaned(chain, one) for one in left)


def _cleaned(chain: Chain, announced: Announced) -> bool:
    try:
        return chain.clean(announced)
    except ClicEdgeError:
        return False  # the archive is away: the next time
