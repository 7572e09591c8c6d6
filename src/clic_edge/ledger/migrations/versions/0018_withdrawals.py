"""Cases whose results a person took back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "withdrawals",
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True)),
        sa.Column("hindrance", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name="pk_withdrawals"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_withdrawals_case_id"),
    )
