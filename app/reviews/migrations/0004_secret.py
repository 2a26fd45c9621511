"""A random secret of the store, so that pseudonyms cannot be recovered from the groups of an export."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    name = sa.String(64)
    table = op.create_table(
        "secrets",
        sa.Column("name", name, primary_key=True),
        sa.Column("value", name, nullable=False),
    )
    op.bulk_insert(table, [{"name": "groups", "value": secrets.token_hex(32)}])
