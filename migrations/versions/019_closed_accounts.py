"""Every process asks each second whose account was closed lately: that must cost nothing, however many there are."""

from alembic import op

revision = "019"
down_revision = "018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE INDEX users_closed ON users (updated_at) WHERE status = 'deactivated';
    CREATE INDEX events_erased_users ON events (recorded_at) WHERE type = 'user.erased';
    """)


def downgrade() -> None:
    op.execute("DROP INDEX events_erased_users, users_closed")
