"""Why alarms closed and when stop rules acted on them; which workers run now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add columns and table; alarms that have closed ask for nothing any more."""
    with op.batch_alter_table("drift_alarms") as table:
        table.add_column(sa.Column("closed_why", sa.String(64), nullable=False, server_default=""))
        table.add_column(sa.Column("acted_at", _AT))
    op.execute("UPDATE drift_alarms SET acted_at = closed_at")
    op.create_table(
        "serving",
        sa.Column("pipeline", sa.String(64), nullable=False),
        sa.Column("instance", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("until", _AT, nullable=False),
        sa.PrimaryKeyConstraint("pipeline", "instance", name="pk_serving"),
    )
