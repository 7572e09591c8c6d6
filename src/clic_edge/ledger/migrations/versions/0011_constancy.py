"""Constancy: commissioning records, runs, their results, studies under way; acceptance reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables; nothing runs until a person commissions a protocol."""
    _create_records()
    _create_runs()
    _create_results()
    _create_studies()
    _create_reports()


def _text(name: str, length: int = 64) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _create_records() -> None:
    op.create_table(
        "constancy_records",
        _text("record_id", 16),
        _text("protocol"),
        _text("pipeline"),
        _text("model_digest"),
        sa.Column("at", _AT, nullable=False),
        _text("digest"),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("record_id", name="pk_constancy_records"),
    )


def _create_runs() -> None:
    op.create_table(
        "constancy_runs",
        _text("run_id", 32),
        _text("protocol"),
        sa.Column("version", sa.Integer, nullable=False),
        _text("pipeline"),
        _text("model_id"),
        _text("model_version"),
        _text("model_digest"),
        sa.Column("record_id", sa.String(16)),
        sa.Column("started_at", _AT, nullable=False),
        _text("started_by"),
        sa.Column("alive_at", _AT, nullable=False),
        sa.Column("ended_at", _AT),
        _text("verdict", 16),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_constancy_runs"),
        sa.ForeignKeyConstraint(
            ["record_id"], ["constancy_records.record_id"], name="fk_constancy_runs_record_id"
        ),
    )
    op.create_index("ix_constancy_runs_started_at", "constancy_runs", ["started_at"])


def _to_run(table: str) -> sa.Constraint:
    return sa.ForeignKeyConstraint(["run_id"], ["constancy_runs.run_id"], name=f"fk_{table}_run_id")


def _create_results() -> None:
    op.create_table(
        "constancy_results",
        _text("run_id", 32),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        _text("case"),
        _text("quantity", 256),
        _text("unit", 32),
        sa.Column("value", sa.Float),
        sa.Column("expected", sa.Float),
        sa.Column("tolerance", sa.Float),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_constancy_results"),
        _to_run("constancy_results"),
    )


def _create_studies() -> None:
    op.create_table(
        "constancy_studies",
        _text("study_id"),
        _text("run_id", 32),
        _text("case"),
        _text("pipeline"),
        sa.Column("at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("study_id", name="pk_constancy_studies"),
        _to_run("constancy_studies"),
    )


def _create_reports() -> None:
    op.create_table(
        "acceptance_reports",
        _text("report_id", 32),
        sa.Column("at", _AT, nullable=False),
        _text("pipeline"),
        _text("model_id"),
        _text("version"),
        _text("digest"),
        _text("person"),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("json", sa.Text, nullable=False),
        sa.Column("pdf", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("report_id", name="pk_acceptance_reports"),
    )
