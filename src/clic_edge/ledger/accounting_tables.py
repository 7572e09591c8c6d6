"""Tables of the daily account: what it said, and where two books differed."""

from __future__ import annotations

import sqlalchemy as sa

from clic_edge.ledger.metadata import UtcDateTime, metadata

day_accounts = sa.Table(
    "day_accounts",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("tried_at", UtcDateTime, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
)
"""`tried_at` keeps two workers from making one account; `content` is empty until it was made."""

account_differences = sa.Table(
    "account_differences",
    metadata,
    sa.Column("day", sa.ForeignKey("day_accounts.day"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("study_id", sa.String(64), nullable=False),
    sa.Column("case_id", sa.String(64), nullable=False),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False),
    sa.Column("alarm_id", sa.String(16), nullable=False, index=True),
)
"""The first of each kind, as many as a page can show; the account has the counts."""
