"""Refusals of single series, results that were replaced, studies that changed their patient."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the ledger now remembers; what is there stays as it is."""
    op.create_table(
        "series_refusals",
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("series_id", sa.String(64), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("case_id", "series_id", name="pk_series_refusals"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_series_refusals_case_id"),
    )
    study_digest = sa.Column("study_digest", sa.String(64), nullable=False, server_default="")
    op.add_column("cases", study_digest)
    op.create_index("ix_cases_study_digest", "cases", ["study_digest"])
    for column in (
        sa.Column("sop_class_uid", sa.String(64), nullable=False, server_default=""),
        sa.Column("series_instance_uid", sa.String(64), nullable=False, server_default=""),
        sa.Column("current", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("prediction_id", sa.String(64)),
    ):
        op.add_column("result_objects", column)
