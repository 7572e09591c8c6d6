"""Cases have a priority and a moment by which their result is due; what will be late is told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from clic_edge.ledger.metadata import UtcDateTime

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table."""
    priority = sa.Column("priority", sa.String(16), nullable=False, server_default="routine")
    op.add_column("cases", priority)
    op.add_column("cases", sa.Column("due_at", UtcDateTime))
    op.add_column("cases", sa.Column("result_at", UtcDateTime))
    op.create_index("ix_cases_due_at", "cases", ["due_at"])
    op.create_table(
        "deadline_alarms",
        sa.Column("pipeline", sa.String(64), nullable=False),
        sa.Column("opened_at", UtcDateTime, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.Column("closed_at", UtcDateTime),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("cases", sa.Integer, nullable=False),
        sa.Column("ahead", sa.Integer, nullable=False),
        sa.Column("is_missed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("pipeline", "opened_at", name="pk_deadline_alarms"),
    )
