"""The account of each day is kept, and where two books differed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from clic_edge.ledger.metadata import UtcDateTime

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "day_accounts",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("tried_at", UtcDateTime, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_day_accounts"),
    )
    op.create_table(
        "account_differences",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("study_id", sa.String(64), nullable=False),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("alarm_id", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("day", "number", name="pk_account_differences"),
        sa.ForeignKeyConstraint(["day"], ["day_accounts.day"], name="fk_account_differences_day"),
    )
    op.create_index("ix_account_differences_alarm_id", "account_differences", ["alarm_id"])
