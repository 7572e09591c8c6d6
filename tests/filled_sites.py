"""An appliance's ledger with a little of everything that pages show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from case_rows import SKYRA, Row, write_rows
from half_years import DIGEST, HalfYear, check_nightly, fill

from clic_edge.domain.annotation import Annotation, AnnotationKind
from clic_edge.domain.case import CaseState
from clic_edge.domain.monitoring import EVERY, AlarmComment
from clic_edge.ledger.records import AuditEvent

if TYPE_CHECKING:
    from clic_edge.app import Appliance

MODEL: Final = "organs"
CASE: Final = "c1"
"""It was delivered; `HELD` is in quarantine."""
HELD: Final = "c2"
PATHS: Final = {
    "model_id": MODEL,
    "digest": DIGEST,
    "case_id": CASE,
    "prediction_id": f"p-{CASE}",
    "run_id": "run-3",
    "report_id": "report1",
    "kind": "pdf",
}
"""What stands in a path where something is there; `alarm_of` gives an alarm."""


def fill_site(appliance: Appliance) -> None:
    """Write a month of a model, its alarms, nights, cases, notes and deeds."""
    now, ledger = datetime.now(UTC), appliance.ledger
    year = HalfYear(days=30, per_day=4, reference_days=20, shift_day=21, upgrade_day=26)
    fill(appliance.engine, year, now=now)
    check_nightly(ledger, now, nights=5)
    fill_cases(appliance)
    kind, day = AnnotationKind.OTHER, now.date()
    note = Annotation(at=now, day=day, kind=kind, text="Moved.", person="Bo", stratum=EVERY)
    ledger.annotations.add(note)
    alarm = alarm_of(appliance)
    ledger.alarms.comment(AlarmComment(alarm_id=alarm, at=now, person="Bo", text="Seen."))
    ledger.records.note(AuditEvent(at=now, action="x", person="Bo", detail="Did.", about="it"))


def fill_cases(appliance: Appliance) -> None:
    """Write a case that was delivered and one in quarantine."""
    told = Row(case_id=CASE, model=MODEL, scanner=SKYRA, received_at=datetime.now(UTC))
    held = Row(case_id=HELD, state=CaseState.QUARANTINED, code="result-gone", reason="It is gone.")
    write_rows(appliance.engine, [told, held])
    appliance.ledger.records.time_stage(CASE, "predict", 20.0)


def alarm_of(appliance: Appliance) -> str:
    """Return the id of an alarm of the model."""
    return appliance.ledger.monitoring.alarms()[0].alarm_id
