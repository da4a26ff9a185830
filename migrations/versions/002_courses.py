"""Courses and who is enrolled in them."""

from alembic import op

revision = "002"
down_revision = "001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TYPE course_status AS ENUM ('draft', 'published', 'archived');

    CREATE TABLE courses (
        id            text PRIMARY KEY CHECK (id <> ''),
        owner_id      text NOT NULL,
        title         text NOT NULL,
        description   text NOT NULL,
        documentation text NOT NULL,
        language      text NOT NULL,
        status        course_status NOT NULL,
        visibility    visibility NOT NULL,
        published_at  timestamptz,
        archived_at   timestamptz,
        version       bigint NOT NULL CHECK (version > 0),
        created_at    timestamptz NOT NULL,
        updated_at    timestamptz NOT NULL
    );
    CREATE INDEX courses_owner ON courses (owner_id, created_at DESC);
    CREATE INDEX courses_catalogue ON courses (created_at DESC) WHERE status = 'published';

    -- course_id may name a course that lives in another service, so nothing here points at courses.
    CREATE TABLE enrollments (
        id              uuid PRIMARY KEY,
        course_id       text NOT NULL,
        user_id         text NOT NULL,
        course_owner_id text NOT NULL,
        enrolled_as     text NOT NULL CHECK (enrolled_as IN ('learner', 'instructor')),
        version         bigint NOT NULL CHECK (version > 0),
        created_at      timestamptz NOT NULL,
        updated_at      timestamptz NOT NULL,
        UNIQUE (user_id, course_id)
    );
    CREATE INDEX enrollments_course ON enrollments (course_id);
    CREATE INDEX enrollments_owner ON enrollments (course_owner_id);
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE enrollments;
    DROP TABLE courses;
    DROP TYPE course_status;
    """)
