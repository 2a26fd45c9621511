"""Sessions of the page, so that a sign-in counts at every server that shares the store."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    time, name = sa.DateTime(timezone=True), sa.String(64)
    op.create_table(
        "sessions",
        sa.Column("digest", name, primary_key=True),
        sa.Column("key_id", name, nullable=False, index=True),
        sa.Column("created_at", time, nullable=False),
        sa.Column("expires_at", time, nullable=False, index=True),
    )
