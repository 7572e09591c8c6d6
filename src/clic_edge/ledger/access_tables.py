"""The tables of who may be at the pages. A password or a token is in none of them, only what proves it."""

from __future__ import annotations

import sqlalchemy as sa

from clic_edge.ledger.metadata import UtcDateTime, metadata

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("folded", sa.String(256), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password_hash", sa.String(256), nullable=False),
    sa.Column("issuer", sa.String(256), nullable=False),
    sa.Column("subject", sa.String(256), nullable=False),
    sa.Column("language", sa.String(2), nullable=False),
    sa.Column("is_disabled", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index("uq_accounts_folded", "folded", unique=True),
    sa.Index("ix_accounts_subject", "issuer", "subject"),
)
"""Never deleted: the audit trail names them. `issuer` and `subject` are empty of local accounts, `password_hash` is of all others."""

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("token_digest", sa.String(64), primary_key=True),
    sa.Column("session_id", sa.String(16), nullable=False),
    sa.Column("name", sa.ForeignKey("accounts.name"), nullable=False, index=True),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("used_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
)

login_attempts = sa.Table(
    "login_attempts",
    metadata,
    sa.Column("origin", sa.String(80), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_at", UtcDateTime, nullable=False),
)

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    sa.Column("token_digest", sa.String(64), primary_key=True),
    sa.Column("token_id", sa.String(16), nullable=False),
    sa.Column("name", sa.ForeignKey("accounts.name"), nullable=False, index=True),
    sa.Column("label", sa.String(64), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("used_at", UtcDateTime),
    sa.Column("revoked_at", UtcDateTime),
)

senders = sa.Table(
    "senders",
    metadata,
    sa.Column("ae_title", sa.String(16), primary_key=True),
    sa.Column("address", sa.String(64), primary_key=True),
    sa.Column("first_at", UtcDateTime, nullable=False),
    sa.Column("last_at", UtcDateTime, nullable=False),
    sa.Column("instances", sa.BigInteger, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("allowed_by", sa.String(64), nullable=False),
    sa.Column("allowed_at", UtcDateTime),
)
"""Who may send, and who was seen: `allowed_at` is empty of those who may not."""
