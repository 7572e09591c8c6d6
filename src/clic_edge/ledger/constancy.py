"""Constancy: records, runs and their results, studies under way, and acceptance reports."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from pydantic import TypeAdapter

from clic_edge.domain.case import CaseState
from clic_edge.domain.constancy import (
    Announced,
    Compared,
    Component,
    Day,
    KeptReport,
    Record,
    ReportFiles,
    Run,
    TrendPoint,
    Verdict,
)
from clic_edge.errors import ConfigError, Defect, Transient
from clic_edge.ledger import schema
from clic_edge.ledger.announcing import constancy_ended
from clic_edge.ledger.metadata import metadata
from clic_edge.ledger.schema import (
    acceptance_reports,
    audit_events,
    constancy_records,
    constancy_results,
    constancy_runs,
    constancy_studies,
)
from clic_edge.ledger.sql import begin_writing, insert_once

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from sqlalchemy.engine import Engine

SILENT_AFTER = timedelta(minutes=3)
"""A run that has given no sign for this long is over: its process was killed."""
_LOCK = 0x434C4351  # "CLCQ": two workers never begin the same night
_COMPONENTS = TypeAdapter(tuple[Component, ...])
_WORST_LAST = (Verdict.PASSED, Verdict.RUNNING, Verdict.INCOMPLETE, Verdict.FAILED)
_ENDS = [state for state in CaseState if state.is_end]


class ConstancyStore:
    """Everything that constancy remembers, on any SQLAlchemy engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def seal(self, record: Record) -> None:
        """Keep a commissioning record for ever; its digest goes into the audit trail as well."""
        row = {
            "record_id": record.record_id,
            "protocol": record.protocol,
            "pipeline": record.pipeline,
            "model_digest": record.model_digest,
            "at": record.at,
            "digest": record.digest,
            "content": record.content,
        }
        with self._engine.begin() as connection:
            if insert_once(connection, constancy_records, [row]):
                detail = (
                    f"{record.protocol} {record.version} of {record.model_id} "
                    f"{record.model_version} in {record.pipeline}, sealed {record.digest}"
                )
                _audit(
                    connection,
                    record.at,
                    "constancy-commissioned",
                    detail=detail,
                    person=record.person,
                )

    def records(self, *, protocol: str | None = None) -> tuple[Record, ...]:
        """Return commissioning records, oldest first; of one protocol, or of all.

        Raises
        ------
        Defect
            ``record-changed``: the content is not what was sealed.

        """
        query = sa.select(constancy_records).order_by(constancy_records.c.at)
        if protocol is not None:
            query = query.where(constancy_records.c.protocol == protocol)
        with self._engine.connect() as connection:
            return tuple(_record(row) for row in connection.execute(query))

    def begin(self, run: Run) -> None:
        """Let a run begin; one at a time on the whole site.

        Raises
        ------
        Transient
            ``constancy-running``: another is under way.

        """
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            under_way = constancy_runs.c.ended_at.is_(None)
            if connection.scalar(sa.select(constancy_runs.c.run_id).where(under_way)):
                raise Transient(
                    "constancy-running", "Another constancy run is under way; it ends by itself."
                )
            row = {name: getattr(run, name) for name in Run.__slots__}
            row |= {"environment": _COMPONENTS.dump_json(run.environment).decode()}
            row |= {"alive_at": run.started_at}
            connection.execute(constancy_runs.insert().values(**row))

    def alive(self, run_id: str, at: datetime) -> None:
        """Say that a run goes on."""
        this = constancy_runs.c.run_id == run_id
        with self._engine.begin() as connection:
            connection.execute(constancy_runs.update().where(this).values(alive_at=at))

    def finish(
        self,
        run_id: str,
        verdict: Verdict,
        *,
        at: datetime,
        results: Iterable[Compared] = (),
        reason: str = "",
    ) -> None:
        """End a run with what it found, in one transaction; ending it again changes nothing."""
        this = (constancy_runs.c.run_id == run_id) & constancy_runs.c.ended_at.is_(None)
        end = {"ended_at": at, "verdict": verdict, "reason": reason}
        with self._engine.begin() as connection:
            if not connection.execute(constancy_runs.update().where(this).values(**end)).rowcount:
                return
            rows = [
                {"run_id": run_id, "number": number}
                | {name: getattr(one, name) for name in Compared.__slots__}
                for number, one in enumerate(results)
            ]
            if rows:
                connection.execute(constancy_results.insert(), rows)
            _audit(connection, at, f"constancy-{verdict}", detail=f"run {run_id}. {reason}".strip())
            constancy_ended(connection, run_id, verdict, at=at)

    def silent(self, now: datetime) -> tuple[Run, ...]:
        """Return runs that have not ended and whose process has gone."""
        gone = constancy_runs.c.alive_at < now - SILENT_AFTER
        return self._runs(constancy_runs.c.ended_at.is_(None) & gone)

    def runs(
        self, *, pipeline: str | None = None, since: datetime | None = None
    ) -> tuple[Run, ...]:
        """Return runs, oldest first; of one pipeline, and begun since a moment, if asked."""
        where: sa.ColumnElement[bool] = sa.true()
        if pipeline is not None:
            where &= constancy_runs.c.pipeline == pipeline
        if since is not None:
            where &= constancy_runs.c.started_at >= since
        return self._runs(where)

    def last(self, protocol: str) -> Run | None:
        """Return the newest run of a protocol that was held against a record."""
        judged = constancy_runs.c.record_id.is_not(None)
        found = self._runs((constancy_runs.c.protocol == protocol) & judged)
        return found[-1] if found else None

    def results(self, run_id: str) -> tuple[Compared, ...]:
        """Return what a run compared, in the order of the protocol."""
        columns = [constancy_results.c[name] for name in Compared.__slots__]
        query = sa.select(*columns).where(constancy_results.c.run_id == run_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(constancy_results.c.number))
            return tuple(Compared(**row._mapping) for row in rows)

    def calendar(self, protocol: str, *, first: date, last: date) -> tuple[Day, ...]:
        """Return the days from `first` to `last` (UTC) on which a protocol was run, in order."""
        days: dict[date, list[Run]] = {}
        for one in self._runs(constancy_runs.c.protocol == protocol):
            if first <= one.started_at.date() <= last and one.record_id is not None:
                days.setdefault(one.started_at.date(), []).append(one)
        return tuple(
            Day(
                day=day,
                verdict=max((one.verdict for one in runs), key=_WORST_LAST.index),
                runs=tuple(one.run_id for one in runs),
            )
            for day, runs in sorted(days.items())
        )

    def quantities(self, protocol: str) -> tuple[tuple[str, str, str], ...]:
        """Return case, quantity and unit of every number that a protocol's runs have, sorted."""
        columns = (constancy_results.c.case, constancy_results.c.quantity, constancy_results.c.unit)
        query = (
            sa.select(*columns)
            .join(constancy_runs)
            .where(constancy_runs.c.protocol == protocol, constancy_results.c.value.is_not(None))
            .distinct()
            .order_by(*columns)
        )
        with self._engine.connect() as connection:
            return tuple((row.case, row.quantity, row.unit) for row in connection.execute(query))

    def trend(
        self, protocol: str, *, case: str, quantity: str, since: datetime | None = None
    ) -> tuple[TrendPoint, ...]:
        """Return a quantity's value in each run of a protocol, oldest first."""
        names = ("value", "expected", "tolerance", "passed")
        query = (
            sa.select(
                constancy_runs.c.started_at.label("at"),
                constancy_runs.c.run_id,
                *(constancy_results.c[name] for name in names),
            )
            .join(constancy_runs)
            .where(
                constancy_runs.c.protocol == protocol,
                constancy_results.c.case == case,
                constancy_results.c.quantity == quantity,
                constancy_results.c.value.is_not(None),
            )
            .order_by(constancy_runs.c.started_at)
        )
        if since is not None:
            query = query.where(constancy_runs.c.started_at >= since)
        with self._engine.connect() as connection:
            return tuple(TrendPoint(**row._mapping) for row in connection.execute(query))

    def announce(self, study: Announced) -> None:
        """Let a constancy study in that is about to be sent."""
        row = {name: getattr(study, name) for name in Announced.__slots__}
        with self._engine.begin() as connection:
            insert_once(connection, constancy_studies, [row])

    def announced(self, study_id: str | None = None) -> tuple[Announced, ...]:
        """Return the constancy studies that were announced and not removed since, by handle or all."""
        query = sa.select(constancy_studies).order_by(constancy_studies.c.at)
        if study_id is not None:
            query = query.where(constancy_studies.c.study_id == study_id)
        with self._engine.connect() as connection:
            return tuple(Announced(**row._mapping) for row in connection.execute(query))

    def clear(self, study_id: str) -> bool:
        """Forget an announced study with the rows of its cases; False while one has not ended.

        What happened to them stays in the audit trail, and what they said in the run's results.
        """
        cases = schema.cases
        own = cases.c.study_id == study_id
        with self._engine.begin() as connection:
            begin_writing(connection, _LOCK)
            known = constancy_studies.c.study_id == study_id
            if not connection.execute(sa.select(constancy_studies).where(known)).all():
                return True
            if connection.execute(sa.select(cases).where(own, cases.c.state.not_in(_ENDS))).all():
                return False
            _delete_cases(connection, own)
            connection.execute(constancy_studies.delete().where(known))
        return True

    def keep_report(self, report: KeptReport, files: ReportFiles) -> None:
        """Keep an acceptance report with its files; who made it goes into the audit trail."""
        row = {name: getattr(report, name) for name in KeptReport.__slots__}
        row |= {"json": files.json, "pdf": files.pdf}
        with self._engine.begin() as connection:
            if insert_once(connection, acceptance_reports, [row]):
                verdict = "accepted" if report.accepted else "not accepted"
                detail = (
                    f"{report.model_id} {report.version} in {report.pipeline} {verdict}, "
                    f"report {report.report_id}"
                )
                _audit(
                    connection,
                    report.at,
                    "acceptance-report",
                    detail=detail,
                    person=report.person,
                )

    def reports(self, pipeline: str | None = None) -> tuple[KeptReport, ...]:
        """Return the acceptance reports, oldest first; of one pipeline, or of all."""
        columns = [acceptance_reports.c[name] for name in KeptReport.__slots__]
        query = sa.select(*columns).order_by(acceptance_reports.c.at)
        if pipeline is not None:
            query = query.where(acceptance_reports.c.pipeline == pipeline)
        with self._engine.connect() as connection:
            return tuple(KeptReport(**row._mapping) for row in connection.execute(query))

    def report(self, report_id: str) -> ReportFiles:
        """Return the files of an acceptance report. Raises ConfigError ``no-such-report``."""
        this = acceptance_reports.c.report_id == report_id
        query = sa.select(acceptance_reports.c.json, acceptance_reports.c.pdf).where(this)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise ConfigError("no-such-report", "There is no acceptance report with that id.")
        return ReportFiles(**row._mapping)

    def _runs(self, where: sa.ColumnElement[bool]) -> tuple[Run, ...]:
        columns = [constancy_runs.c[name] for name in Run.__slots__]
        order = (constancy_runs.c.started_at, constancy_runs.c.run_id)
        query = sa.select(*columns).where(where).order_by(*order)
        with self._engine.connect() as connection:
            return tuple(_run(row) for row in connection.execute(query))


def _run(row: sa.Row[tuple[object, ...]]) -> Run:
    values = dict(row._mapping)
    values["verdict"] = Verdict(values["verdict"])
    values["environment"] = _COMPONENTS.validate_json(values["environment"])
    return Run(**values)


def _record(row: sa.Row[tuple[object, ...]]) -> Record:
    content = row._mapping["content"]
    if hashlib.sha256(content).hexdigest() != row._mapping["digest"]:
        raise Defect(
            "record-changed",
            "A commissioning record is not what was sealed; restore the ledger from a backup.",
        )
    return Record.from_content(content)


def _delete_cases(connection: sa.Connection, own: sa.ColumnElement[bool]) -> None:
    """Delete cases and all that hangs on them, leaves first, whatever tables there are."""
    cases, predictions, results = schema.cases, schema.predictions, schema.result_objects
    ids = sa.select(cases.c.case_id).where(own)
    gone = {
        cases.name: ids,
        predictions.name: sa.select(predictions.c.prediction_id).where(
            predictions.c.case_id.in_(ids)
        ),
        results.name: sa.select(results.c.sop_instance_uid).where(results.c.case_id.in_(ids)),
    }
    for table in reversed(metadata.sorted_tables):
        for key in table.foreign_keys:
            if key.column.table.name in gone:
                rows = key.parent.in_(gone[key.column.table.name])
                connection.execute(table.delete().where(rows))
    connection.execute(cases.delete().where(own))


def _audit(
    connection: sa.Connection, at: datetime, action: str, *, detail: str, person: str = ""
) -> None:
    row = {"at": at, "case_id": "", "action": action, "detail": detail, "person": person}
    connection.execute(audit_events.insert().values(**row))
