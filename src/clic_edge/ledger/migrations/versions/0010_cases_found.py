"""Indices by which the page of cases finds them: state and code, model, scanner, pseudonym."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_OF_SCANNERS = "name IN ('input.manufacturer', 'input.model_name', 'input.software_versions')"


def upgrade() -> None:
    """Add the indices."""
    op.create_index("ix_cases_state_received_at", "cases", ["state", "received_at"])
    op.create_index("ix_cases_code_received_at", "cases", ["code", "received_at"])
    op.create_index("ix_predictions_subject_id", "predictions", ["subject_id"])
    op.create_index("ix_predictions_model_id", "predictions", ["model_id"])
    op.create_index(
        "ix_prediction_features_scanner",
        "prediction_features",
        ["name", "text"],
        sqlite_where=sa.text(_OF_SCANNERS),
        postgresql_where=sa.text(_OF_SCANNERS),
    )
