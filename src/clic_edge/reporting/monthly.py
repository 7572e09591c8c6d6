"""The report of the last month, made by itself beside the worker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from clic_edge import telemetry
from clic_edge.beside import beside
from clic_edge.board.report import Maker, model_report, month
from clic_edge.board.report_subjects import subjects
from clic_edge.domain.notice import Notice, NoticeKind, Urgency
from clic_edge.errors import ClicEdgeError
from clic_edge.reporting.making import report_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from clic_edge.board.report import Period, Subject
    from clic_edge.domain.prediction import ModelIdentity
    from clic_edge.drawing.look import Language
    from clic_edge.drift.plan import Policy
    from clic_edge.ledger import Ledger
    from clic_edge.reporting.shelf import Shelf

AFTER = timedelta(hours=2)
"""Of a new month: what came late in the last one has ended by then, as a rule."""
_LOOK_EVERY_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Monthly:
    """Makes what is due, and puts it on the shelf."""

    ledger: Ledger
    shelf: Shelf
    appliance: str
    language: Language
    policy: Policy
    packages: Callable[[], tuple[ModelIdentity, ...]]
    """What the model packages that are there say of themselves."""

    def make_due(self, now: datetime) -> int:
        """Make the reports of the last month that are not there yet; return how many were made.

        What hinders one is told, and does not hinder the others; it is tried again later.
        """
        before = (now - AFTER).replace(day=1) - timedelta(days=1)
        period, made = month(before.year, before.month), 0
        # Packages are read to the last byte, so only where something is to be made.
        due = {
            one.digest
            for one in subjects(self.ledger, period, ())
            if not self._is_there(one, period, now)
        }
        for subject in subjects(self.ledger, period, self.packages()) if due else ():
            if subject.digest not in due:
                continue
            try:
                self._make(subject, period, now)
            except ClicEdgeError as error:
                kind = type(error).__name__
                telemetry.look_failed(source="reports", code=error.code, error=kind)
                self._tell(subject, period, error.code, now=now)
            else:
                made += 1
        return made

    def _tell(self, subject: Subject, period: Period, code: str, *, now: datetime) -> None:
        """Let people hear of it, once for each report and reason."""
        notice = Notice(
            kind=NoticeKind.REPORT_FAILED,
            key=f"{subject.digest} {period.first.isoformat()} {code}",
            at=now,
            urgency=Urgency.WARNING,
            about=subject.model_id,
            detail=code,
            path="/reports",
        )
        self.ledger.notices.put(notice)

    def _is_there(self, subject: Subject, period: Period, now: datetime) -> bool:
        """Whether the report is there, and no clock that ran ahead has made it too early."""
        days = (subject.digest, period.first.isoformat(), period.last.isoformat())
        return any(
            (one.digest, one.first, one.last) == days and period.span.until <= one.made_at <= now
            for one in self.shelf.reports()
        )

    def _make(self, subject: Subject, period: Period, now: datetime) -> None:
        maker = Maker(appliance=self.appliance, at=now, policy=self.policy)
        report = model_report(self.ledger, subject, period, by=maker)
        self.shelf.put(report, report_files(report, self.language), language=self.language)
        telemetry.report_made(model=f"{subject.model_id} {subject.version}")


def reporting(monthly: Monthly) -> AbstractContextManager[None]:
    """Make what is due beside what runs within."""

    def look(now: datetime) -> None:
        monthly.make_due(now.replace(microsecond=0))

    return beside("reports", look, every_seconds=_LOOK_EVERY_SECONDS)
