"""Which image of a series was refused: each may have a prediction of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column to the key; what was refused before was a whole series."""
    with op.batch_alter_table("series_refusals") as table:
        table.add_column(sa.Column("image", sa.Integer, nullable=False, server_default="0"))
    with op.batch_alter_table("series_refusals") as table:
        table.drop_constraint("pk_series_refusals", type_="primary")
        table.create_primary_key("pk_series_refusals", ["case_id", "series_id", "image"])
