"""Tasks of a goal and what they depend on."""

from alembic import op

revision = "004"
down_revision = "003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TYPE task_type AS ENUM ('read', 'practice', 'build', 'review', 'assess');
    CREATE TYPE task_status AS ENUM ('pending', 'in_progress', 'blocked', 'completed', 'cancelled');

    CREATE TABLE tasks (
        id                  uuid PRIMARY KEY,
        goal_id             uuid NOT NULL REFERENCES goals (id),
        user_id             text NOT NULL,
        course_id           text,
        title               text NOT NULL,
        description         text NOT NULL,
        type                task_type NOT NULL,
        status              task_status NOT NULL,
        priority            priority NOT NULL,
        position            integer NOT NULL CHECK (position >= 0),
        acceptance_criteria text[] NOT NULL,
        estimated_minutes   integer CHECK (estimated_minutes > 0),
        actual_minutes      integer CHECK (actual_minutes >= 0),
        skills              text[] NOT NULL,
        depends_on          uuid[] NOT NULL,
        visibility          visibility NOT NULL,
        due_at              timestamptz,
        started_at          timestamptz,
        completed_at        timestamptz,
        details             jsonb NOT NULL,
        version             bigint NOT NULL CHECK (version > 0),
        created_at          timestamptz NOT NULL,
        updated_at          timestamptz NOT NULL,
        CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
        CHECK (visibility <> 'course' OR course_id IS NOT NULL),
        CHECK (NOT id = ANY (depends_on))
    );
    CREATE INDEX tasks_goal ON tasks (goal_id, position, id);
    CREATE INDEX tasks_user ON tasks (user_id, created_at DESC, id);
    CREATE INDEX tasks_course ON tasks (course_id, created_at DESC) WHERE course_id IS NOT NULL;
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE tasks;
    DROP TYPE task_status;
    DROP TYPE task_type;
    """)
