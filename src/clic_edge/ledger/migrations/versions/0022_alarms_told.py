"""What the results of a case tell of alarms on their model is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from clic_edge.ledger.metadata import UtcDateTime

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "alarms_told",
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("since", UtcDateTime),
        sa.PrimaryKeyConstraint("case_id", "model_digest", name="pk_alarms_told"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_alarms_told_case_id"),
    )
