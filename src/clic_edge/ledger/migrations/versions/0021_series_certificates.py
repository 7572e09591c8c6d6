"""How the series of cases were made clean before models saw them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "series_certificates",
        sa.Column("certificate_id", sa.String(32), nullable=False),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("certificate_id", name="pk_series_certificates"),
        sa.ForeignKeyConstraint(
            ["case_id"], ["cases.case_id"], name="fk_series_certificates_case_id"
        ),
    )
    op.create_index("ix_series_certificates_case_id", "series_certificates", ["case_id"])
