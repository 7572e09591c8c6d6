"""Indices by which replaced results, an object's receipts and those not accepted are found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the indices."""
    op.create_index("ix_cases_superseded_by", "cases", ["superseded_by"])
    op.create_index("ix_receipts_sop_instance_uid", "receipts", ["sop_instance_uid"])
    op.create_index(
        "ix_receipts_not_accepted",
        "receipts",
        ["status"],
        sqlite_where=sa.text("accepted = 0"),
        postgresql_where=sa.text("NOT accepted"),
    )
