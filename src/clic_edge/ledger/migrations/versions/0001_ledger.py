"""The ledger: cases, predictions, results, receipts, audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table of the first version."""
    _cases()
    _predictions()
    _results()
    _records()


def _cases() -> None:
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("study_id", sa.String(64), nullable=False),
        sa.Column("pipeline", sa.String(64), nullable=False),
        sa.Column("series_ids", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("expedited", sa.Boolean, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("started_at", _MOMENT),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("next_attempt_at", _MOMENT),
        sa.Column("superseded_by", sa.String(64)),
        sa.PrimaryKeyConstraint("case_id", name="pk_cases"),
    )
    for column in ("study_id", "state", "received_at"):
        op.create_index(f"ix_cases_{column}", "cases", [column])


def _predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("prediction_id", sa.String(64), nullable=False),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("series_id", sa.String(64), nullable=False),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("model_id", sa.String(64), nullable=False),
        sa.Column("model_version", sa.String(64), nullable=False),
        sa.Column("model_digest", sa.String(64), nullable=False),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", name="pk_predictions"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_predictions_case_id"),
    )
    for column in ("case_id", "created_at"):
        op.create_index(f"ix_predictions_{column}", "predictions", [column])
    op.create_table(
        "prediction_features",
        sa.Column("prediction_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("number", sa.Float),
        sa.Column("text", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", "name", name="pk_prediction_features"),
        sa.ForeignKeyConstraint(
            ["prediction_id"],
            ["predictions.prediction_id"],
            name="fk_prediction_features_prediction_id",
        ),
    )
    op.create_table(
        "segmentations",
        sa.Column("prediction_id", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", name="pk_segmentations"),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["predictions.prediction_id"], name="fk_segmentations_prediction_id"
        ),
    )


def _results() -> None:
    op.create_table(
        "result_objects",
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid", name="pk_result_objects"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_result_objects_case_id"),
    )
    op.create_index("ix_result_objects_case_id", "result_objects", ["case_id"])
    op.create_table(
        "receipts",
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("status", sa.String(64), nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("destination", "sop_instance_uid", name="pk_receipts"),
        sa.ForeignKeyConstraint(
            ["sop_instance_uid"],
            ["result_objects.sop_instance_uid"],
            name="fk_receipts_sop_instance_uid",
        ),
    )


def _records() -> None:
    op.create_table(
        "stage_seconds",
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("case_id", "stage", name="pk_stage_seconds"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_stage_seconds_case_id"),
    )
    op.create_table(
        "audit_events",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            nullable=False,
            autoincrement=True,
        ),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_case_id", "audit_events", ["case_id"])
    op.create_table(
        "cursors",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_cursors"),
    )
