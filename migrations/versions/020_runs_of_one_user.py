"""Whoever starts a run has their unfinished ones counted: that must not read everybody's."""

from alembic import op

revision = "020"
down_revision = "019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX runs_unfinished ON runs (user_id) WHERE status IN ('pending', 'running')")


def downgrade() -> None:
    op.execute("DROP INDEX runs_unfinished")
