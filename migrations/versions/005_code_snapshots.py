"""Code snapshots, versioned per task and file."""

from alembic import op

revision = "005"
down_revision = "004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TYPE validation_status AS ENUM ('pending', 'passed', 'failed');

    CREATE TABLE code_snapshots (
        id                  uuid PRIMARY KEY,
        task_id             uuid NOT NULL REFERENCES tasks (id),
        goal_id             uuid NOT NULL,
        user_id             text NOT NULL,
        course_id           text,
        file_path           text NOT NULL,
        language            text NOT NULL,
        content             text NOT NULL CHECK (octet_length(content) <= 262144),
        content_hash        text NOT NULL,
        snapshot_version    integer NOT NULL CHECK (snapshot_version > 0),
        diff                text NOT NULL,
        validation_status   validation_status NOT NULL,
        validation_score    double precision CHECK (validation_score BETWEEN 0 AND 1),
        validation_feedback text NOT NULL,
        validation_issues   jsonb NOT NULL,
        validated_at        timestamptz,
        visibility          visibility NOT NULL,
        details             jsonb NOT NULL,
        version             bigint NOT NULL CHECK (version > 0),
        created_at          timestamptz NOT NULL,
        updated_at          timestamptz NOT NULL,
        UNIQUE (task_id, file_path, snapshot_version),
        CHECK (visibility <> 'course' OR course_id IS NOT NULL)
    );
    CREATE INDEX code_snapshots_user ON code_snapshots (user_id, created_at DESC, id);
    CREATE INDEX code_snapshots_task ON code_snapshots (task_id, created_at DESC);
    CREATE INDEX code_snapshots_course ON code_snapshots (course_id, created_at DESC) WHERE course_id IS NOT NULL;
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE code_snapshots;
    DROP TYPE validation_status;
    """)
