"""References, points, alarms and acknowledgements of the monitor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables; nothing is charted until a person freezes a reference."""
    _create_references()
    _create_points()
    _create_alarms()


def _to_reference(table: str, *, nullable: bool) -> tuple[sa.Column[str], sa.Constraint]:
    return (
        sa.Column("reference_id", sa.String(16), nullable=nullable),
        sa.ForeignKeyConstraint(
            ["reference_id"],
            ["drift_references.reference_id"],
            name=f"fk_{table}_reference_id",
        ),
    )


def _create_references() -> None:
    op.create_table(
        "drift_references",
        sa.Column("reference_id", sa.String(16), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("frozen_at", _AT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("reference_id", name="pk_drift_references"),
    )
    op.create_index("ix_drift_references_model_digest", "drift_references", ["model_digest"])


def _create_points() -> None:
    op.create_table(
        "drift_progress",
        *_to_reference("drift_progress", nullable=False),
        sa.Column("charted_until", _AT, nullable=False),
        sa.Column("memory", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("reference_id", name="pk_drift_progress"),
    )
    op.create_table(
        "drift_points",
        *_to_reference("drift_points", nullable=False),
        sa.Column("chart", sa.String(160), nullable=False),
        sa.Column("direction", sa.String(4), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("statistic", sa.Float, nullable=False),
        sa.Column("threshold", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint(
            "reference_id", "chart", "direction", "day", name="pk_drift_points"
        ),
    )


def _create_alarms() -> None:
    op.create_table(
        "drift_alarms",
        sa.Column("alarm_id", sa.String(16), nullable=False),
        sa.Column("model_id", sa.String(64), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        *_to_reference("drift_alarms", nullable=True),
        *(
            sa.Column(name, sa.String(256), nullable=False)
            for name in ("manufacturer", "model_name", "software_versions")
        ),
        sa.Column("chart", sa.String(160), nullable=False),
        sa.Column("direction", sa.String(4), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("opened_at", _AT, nullable=False),
        sa.Column("confirmed_at", _AT),
        sa.Column("closed_at", _AT),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("is_event", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("alarm_id", name="pk_drift_alarms"),
    )
    op.create_index("ix_drift_alarms_model_digest", "drift_alarms", ["model_digest"])
    op.create_index("ix_drift_alarms_opened_at", "drift_alarms", ["opened_at"])
    op.create_table(
        "drift_acknowledgements",
        sa.Column("alarm_id", sa.String(16), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("alarm_id", "at", name="pk_drift_acknowledgements"),
        sa.ForeignKeyConstraint(
            ["alarm_id"],
            ["drift_alarms.alarm_id"],
            name="fk_drift_acknowledgements_alarm_id",
        ),
    )
