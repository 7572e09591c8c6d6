"""The tables of the outbox; they belong to `schema`, which is as long as a module may be."""

from __future__ import annotations

import sqlalchemy as sa

from clic_edge.ledger.metadata import UtcDateTime, metadata

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("notice_id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("key", sa.String(256), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
    sa.Column("urgency", sa.String(16), nullable=False),
    sa.Column("about", sa.String(160), nullable=False),
    sa.Column("detail", sa.String(160), nullable=False),
    sa.Column("path", sa.String(256), nullable=False),
)

notice_sendings = sa.Table(
    "notice_sendings",
    metadata,
    sa.Column("notice_id", sa.ForeignKey("notices.notice_id"), primary_key=True),
    sa.Column("channel", sa.String(16), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=False),
    sa.Column("sent_at", UtcDateTime),
    sa.Column("code", sa.String(64), nullable=False),
)
