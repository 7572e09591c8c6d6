"""The states of models, what their shadows broke at, and predictions found by their model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables and the index; models enter the history at the worker's next start."""
    op.create_table(
        "model_events",
        sa.Column("seq", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("pipeline", sa.String(64), nullable=False),
        sa.Column("model_id", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("was", sa.String(16)),
        sa.Column("now", sa.String(16), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("link", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_model_events"),
    )
    op.create_index("ix_model_events_pipeline", "model_events", ["pipeline"])
    op.create_table(
        "shadow_failures",
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("series_id", sa.String(64), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("refused", sa.Boolean, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "series_id", "model_digest", name="pk_shadow_failures"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_shadow_failures_case_id"),
    )
    op.create_index("ix_predictions_model_digest", "predictions", ["model_digest"])
