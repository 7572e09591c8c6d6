"""Who may send, and who was seen and is not trusted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from clic_edge.ledger.metadata import UtcDateTime

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "senders",
        sa.Column("ae_title", sa.String(16), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("first_at", UtcDateTime, nullable=False),
        sa.Column("last_at", UtcDateTime, nullable=False),
        sa.Column("instances", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("allowed_by", sa.String(64), nullable=False),
        sa.Column("allowed_at", UtcDateTime),
        sa.PrimaryKeyConstraint("ae_title", "address", name="pk_senders"),
    )
