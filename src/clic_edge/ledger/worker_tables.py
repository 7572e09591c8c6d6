"""Tables of workers, and of results that will be late: names and numbers of ours, no identity."""

from __future__ import annotations

import sqlalchemy as sa

from clic_edge.ledger.metadata import UtcDateTime, metadata

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("instance", sa.String(32), nullable=False),
    sa.Column("host", sa.String(64), nullable=False),
    sa.Column("place", sa.String(32), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("line", sa.String(16), nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("beat_at", UtcDateTime, nullable=False),
    sa.Column("running", sa.Integer, nullable=False),
    sa.Column("left_at", UtcDateTime),
)

deadline_alarms = sa.Table(
    "deadline_alarms",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("opened_at", UtcDateTime, primary_key=True),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Column("closed_at", UtcDateTime),
    sa.Column("cause", sa.String(16), nullable=False),
    sa.Column("cases", sa.Integer, nullable=False),
    sa.Column("ahead", sa.Integer, nullable=False),
    sa.Column("is_missed", sa.Boolean, nullable=False),
)
