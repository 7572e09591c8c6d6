"""Which refusals are defects: the case ends in quarantine, though its other series are delivered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was refused before was a refusal."""
    with op.batch_alter_table("series_refusals") as table:
        table.add_column(
            sa.Column("withheld", sa.Boolean, nullable=False, server_default=sa.false())
        )
