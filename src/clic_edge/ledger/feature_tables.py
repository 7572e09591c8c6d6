"""The tables of features, and of what turned out to be true later."""

from __future__ import annotations

import sqlalchemy as sa

from clic_edge.ledger.metadata import UtcDateTime, metadata

feature_names = sa.Table(
    "feature_names",
    metadata,
    sa.Column("names_id", sa.String(16), primary_key=True),
    sa.Column("numbers", sa.Text, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
)
"""Named by its content; see `ledger.features`."""

feature_values = sa.Table(
    "feature_values",
    metadata,
    sa.Column("prediction_id", sa.ForeignKey("predictions.prediction_id"), primary_key=True),
    sa.Column("names_id", sa.ForeignKey("feature_names.names_id"), nullable=False),
    sa.Column("numbers", sa.LargeBinary, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("embedding", sa.LargeBinary),
)
"""`embedding` is of a model that names a layer: float16, little-endian."""

feature_days = sa.Table(
    "feature_days",
    metadata,
    sa.Column("model_digest", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(160), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("manufacturer", sa.String(256), primary_key=True),
    sa.Column("model_name", sa.String(256), primary_key=True),
    sa.Column("software_versions", sa.String(256), primary_key=True),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("mean", sa.Float, nullable=False),
    sa.Column("sd", sa.Float, nullable=False),
    sa.Column("low", sa.Float, nullable=False),
    sa.Column("median", sa.Float, nullable=False),
    sa.Column("high", sa.Float, nullable=False),
)
"""A feature's day on one scanner; `low` and `high` are the 5th and 95th percentile."""

truths = sa.Table(
    "truths",
    metadata,
    sa.Column("truth_id", sa.String(64), primary_key=True),
    sa.Column("case_id", sa.ForeignKey("cases.case_id"), nullable=False, index=True),
    sa.Column("finding", sa.String(64), nullable=False),
    sa.Column("present", sa.Boolean),
    sa.Column("value", sa.Float),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("confidence", sa.Float),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
)
"""Ground truth that came later; only ever added to."""
