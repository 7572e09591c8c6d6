"""What people say of alarms: the root cause, and comments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the table; of what was acknowledged before, the cause is unknown."""
    with op.batch_alter_table("drift_acknowledgements") as table:
        table.add_column(
            sa.Column("cause", sa.String(16), nullable=False, server_default="unknown")
        )
    op.create_table(
        "alarm_comments",
        sa.Column("alarm_id", sa.String(16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("alarm_id", "at", name="pk_alarm_comments"),
        sa.ForeignKeyConstraint(
            ["alarm_id"], ["drift_alarms.alarm_id"], name="fk_alarm_comments_alarm_id"
        ),
    )
