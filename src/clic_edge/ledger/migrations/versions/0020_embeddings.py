"""A prediction's embedding lies beside its features."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was logged before has none."""
    op.add_column("feature_values", sa.Column("embedding", sa.LargeBinary))
