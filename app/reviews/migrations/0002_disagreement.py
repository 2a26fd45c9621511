"""The disagreement of several detectors, to order the queue by; 0 for photos that one detector screened."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("photos", sa.Column("disagreement", sa.Double, nullable=False, server_default="0"))
    op.create_index("photos_by_disagreement", "photos", ["state", "disagreement", "id", "first_reader"])
