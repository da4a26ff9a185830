"""Users and their credentials."""

from alembic import op

revision = "001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE EXTENSION IF NOT EXISTS vector;
    CREATE TYPE role AS ENUM ('learner', 'instructor', 'admin', 'service');
    CREATE TYPE user_status AS ENUM ('active', 'deactivated');
    CREATE TYPE visibility AS ENUM ('private', 'course', 'global');

    CREATE TABLE users (
        id          text PRIMARY KEY CHECK (id <> ''),
        email       text NOT NULL,
        name        text NOT NULL,
        role        role NOT NULL,
        status      user_status NOT NULL,
        locale      text NOT NULL,
        preferences jsonb NOT NULL,
        version     bigint NOT NULL CHECK (version > 0),
        created_at  timestamptz NOT NULL,
        updated_at  timestamptz NOT NULL
    );
    CREATE UNIQUE INDEX users_email ON users (lower(email));

    -- Apart from users, so that no event, export or listing of a user can ever carry the hash.
    CREATE TABLE credentials (
        user_id       text PRIMARY KEY,
        password_hash text NOT NULL,
        updated_at    timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE credentials;
    DROP TABLE users;
    DROP TYPE visibility;
    DROP TYPE user_status;
    DROP TYPE role;
    DROP EXTENSION vector;
    """)
