"""Retrospective runs over an archive."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from clic_edge.ledger.metadata import UtcDateTime

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.String(16), nullable=False),
        sa.Column("pipeline", sa.String(64), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("per_hour", sa.Integer, nullable=False),
        sa.Column("room", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name="pk_batches"),
    )
    op.create_table(
        "batch_studies",
        sa.Column("batch_id", sa.String(16), nullable=False),
        sa.Column("study_digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("instances", sa.Integer),
        sa.Column("case_id", sa.String(64)),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "study_digest", name="pk_batch_studies"),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.batch_id"], name="fk_batch_studies_batch_id"
        ),
    )
    op.create_index("ix_batch_studies_batch_id_state", "batch_studies", ["batch_id", "state"])
    op.create_index("ix_batch_studies_study_digest", "batch_studies", ["study_digest"])
    op.create_index("ix_batch_studies_case_id", "batch_studies", ["case_id"])
