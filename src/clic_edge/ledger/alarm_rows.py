"""Rows of alarms as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clic_edge.domain.monitoring import Alarm, Channel, Direction, Severity, Stratum

if TYPE_CHECKING:
    import sqlalchemy as sa


def alarm_of(row: sa.Row[tuple[object, ...]]) -> Alarm:
    """Return the alarm in a row of `drift_alarms`."""
    values = dict(row._mapping)
    parts = {name: values.pop(name) for name in ("manufacturer", "model_name", "software_versions")}
    values["stratum"] = Stratum(**parts)
    values["direction"] = Direction(values["direction"])
    values["channel"] = Channel(values["channel"])
    values["severity"] = Severity(values["severity"])
    return Alarm(**values)
