"""The first schema: photos with their pictures, what the detector said, what readers said."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    time, name, digest = sa.DateTime(timezone=True), sa.String(64), sa.String(64)
    op.create_table(
        "photos",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sha256", digest, nullable=False, unique=True),
        sa.Column("media_type", name, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("kept_at", time, nullable=False, index=True),
        sa.Column("kept_by", name, nullable=False),
        sa.Column("patient", name, index=True),
        sa.Column("view", name),
        sa.Column("state", name, nullable=False),
        sa.Column("readings", sa.Integer, nullable=False),
        sa.Column("first_reader", name),
        sa.Column("uncertainty", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("photos_by_uncertainty", "photos", ["state", "uncertainty", "id", "first_reader"])
    op.create_index("photos_by_date", "photos", ["state", "id", "first_reader"])
    op.create_table(
        "pictures",
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "findings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("model_sha256", digest, nullable=False),
        sa.Column("operating_point", sa.String(200)),
        sa.Column("score_threshold", sa.Double, nullable=False),
        sa.Column("max_boxes", sa.Integer, nullable=False),
        sa.Column("verdict", name, nullable=False),
        sa.Column("teeth", sa.JSON, nullable=False),
    )
    op.create_table(
        "records",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", name, nullable=False),
        sa.Column("reader", name, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("verdict", name, nullable=False),
        sa.Column("boxes", sa.JSON, nullable=False),
        sa.Column("view", name),
        sa.Column("note", sa.Text),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("updated_at", time, nullable=False),
        sa.UniqueConstraint("photo_id", "kind", "reader"),
    )
