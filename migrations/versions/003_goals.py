"""Goals."""

from alembic import op

revision = "003"
down_revision = "002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TYPE goal_type AS ENUM ('learning', 'project', 'skill', 'certification', 'habit');
    CREATE TYPE goal_status AS ENUM ('pending', 'in_progress', 'paused', 'completed', 'cancelled');
    CREATE TYPE priority AS ENUM ('low', 'medium', 'high', 'critical');

    CREATE TABLE goals (
        id                  uuid PRIMARY KEY,
        user_id             text NOT NULL,
        course_id           text,
        title               text NOT NULL,
        description         text NOT NULL,
        type                goal_type NOT NULL,
        status              goal_status NOT NULL,
        priority            priority NOT NULL,
        progress_percentage double precision NOT NULL CHECK (progress_percentage BETWEEN 0 AND 100),
        visibility          visibility NOT NULL,
        due_at              timestamptz,
        started_at          timestamptz,
        completed_at        timestamptz,
        details             jsonb NOT NULL,
        version             bigint NOT NULL CHECK (version > 0),
        created_at          timestamptz NOT NULL,
        updated_at          timestamptz NOT NULL,
        CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
        CHECK (visibility <> 'course' OR course_id IS NOT NULL)
    );
    CREATE INDEX goals_user ON goals (user_id, created_at DESC, id);
    CREATE INDEX goals_course ON goals (course_id, created_at DESC) WHERE course_id IS NOT NULL;
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE goals;
    DROP TYPE priority;
    DROP TYPE goal_status;
    DROP TYPE goal_type;
    """)
