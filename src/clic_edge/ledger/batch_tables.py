"""The tables of batches. A study is a digest of its UID, and Orthanc's handle once it is there."""

from __future__ import annotations

import sqlalchemy as sa

from clic_edge.ledger.metadata import UtcDateTime, metadata

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("batch_id", sa.String(16), primary_key=True),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("per_hour", sa.Integer, nullable=False),
    sa.Column("room", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

batch_studies = sa.Table(
    "batch_studies",
    metadata,
    sa.Column("batch_id", sa.ForeignKey("batches.batch_id"), primary_key=True),
    sa.Column("study_digest", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("instances", sa.Integer),
    sa.Column("case_id", sa.String(64), index=True),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Index("ix_batch_studies_batch_id_state", "batch_id", "state"),
    sa.Index("ix_batch_studies_study_digest", "study_digest"),
)
"""`instances` is how many images the study had when it became a case, or failed halfway."""
