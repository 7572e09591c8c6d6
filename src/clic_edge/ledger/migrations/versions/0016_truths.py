"""What turned out to be true later, and the days of features, which outlive the features."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "truths",
        sa.Column("truth_id", sa.String(64), nullable=False),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("finding", sa.String(64), nullable=False),
        sa.Column("present", sa.Boolean),
        sa.Column("value", sa.Float),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("confidence", sa.Float),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("truth_id", name="pk_truths"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_truths_case_id"),
    )
    op.create_index("ix_truths_case_id", "truths", ["case_id"])
    op.create_index("ix_truths_at", "truths", ["at"])
    op.create_table(
        "feature_days",
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(160), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        *(
            sa.Column(name, sa.String(256), nullable=False)
            for name in ("manufacturer", "model_name", "software_versions")
        ),
        sa.Column("n", sa.Integer, nullable=False),
        *(
            sa.Column(name, sa.Float, nullable=False)
            for name in ("mean", "sd", "low", "median", "high")
        ),
        sa.PrimaryKeyConstraint(
            "model_digest",
            "name",
            "day",
            "manufacturer",
            "model_name",
            "software_versions",
            name="pk_feature_days",
        ),
    )
