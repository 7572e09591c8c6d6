"""When a series was refused: cases begin long before, and the monitor has gone on by then."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was refused before has the moment by which it was charted so far."""
    with op.batch_alter_table("series_refusals") as table:
        table.add_column(sa.Column("at", sa.DateTime(timezone=True)))
    op.execute(
        "UPDATE series_refusals SET at = (SELECT coalesce(started_at, received_at) FROM cases "
        "WHERE cases.case_id = series_refusals.case_id)"
    )
    with op.batch_alter_table("series_refusals") as table:
        table.alter_column("at", nullable=False)
