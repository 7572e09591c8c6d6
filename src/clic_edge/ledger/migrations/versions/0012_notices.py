"""The outbox of what is told by mail, webhook and syslog."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.Column("urgency", sa.String(16), nullable=False),
        sa.Column("about", sa.String(160), nullable=False),
        sa.Column("detail", sa.String(160), nullable=False),
        sa.Column("path", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("notice_id", name="pk_notices"),
    )
    op.create_index("ix_notices_at", "notices", ["at"])
    op.create_table(
        "notice_sendings",
        sa.Column("notice_id", sa.String(32), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", _AT, nullable=False),
        sa.Column("sent_at", _AT),
        sa.Column("code", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("notice_id", "channel", name="pk_notice_sendings"),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notices.notice_id"], name="fk_notice_sendings_notice_id"
        ),
    )
