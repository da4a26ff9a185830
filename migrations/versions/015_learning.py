"""What a learner has shown they can do, which hints they took, and which suggestions they turned down."""

from alembic import op

revision = "015"
down_revision = "014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    -- One memory card per user and skill, and beside it the Beta counts of right and wrong.
    CREATE TABLE skill_mastery (
        user_id          text NOT NULL,
        skill            text NOT NULL CHECK (length(skill) BETWEEN 1 AND 200),
        card             jsonb NOT NULL,
        due_at           timestamptz NOT NULL,
        successes        double precision NOT NULL CHECK (successes >= 0),
        failures         double precision NOT NULL CHECK (failures >= 0),
        last_evidence_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, skill)
    );
    CREATE INDEX skill_mastery_due ON skill_mastery (user_id, due_at);

    -- Why a card stands where it stands. The key lets one validation count once, however often it is committed.
    CREATE TABLE mastery_evidence (
        user_id     text NOT NULL,
        skill       text NOT NULL,
        snapshot_id uuid NOT NULL REFERENCES code_snapshots (id) ON DELETE CASCADE,
        rating      integer NOT NULL CHECK (rating BETWEEN 1 AND 4),
        hint_level  integer NOT NULL CHECK (hint_level BETWEEN 0 AND 4),
        recorded_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, skill, snapshot_id)
    );
    CREATE INDEX mastery_evidence_snapshot ON mastery_evidence (snapshot_id);

    -- A hint taken is remembered with the code it was taken on: the next level waits for different code, and asking
    -- again returns the same words instead of a second, differently telling hint.
    CREATE TABLE hint_grants (
        user_id      text NOT NULL,
        task_id      uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
        snapshot_id  uuid NOT NULL REFERENCES code_snapshots (id) ON DELETE CASCADE,
        hint_key     text NOT NULL,
        level        integer NOT NULL CHECK (level BETWEEN 1 AND 4),
        fingerprint  text NOT NULL,
        words        text NOT NULL,
        granted_at   timestamptz NOT NULL,
        PRIMARY KEY (user_id, snapshot_id, hint_key, level)
    );
    CREATE INDEX hint_grants_task ON hint_grants (task_id);
    CREATE INDEX hint_grants_snapshot ON hint_grants (snapshot_id);

    CREATE TABLE suggestion_feedback (
        id          uuid PRIMARY KEY,
        user_id     text NOT NULL,
        task_id     uuid NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
        decision    text NOT NULL CHECK (decision IN ('accepted', 'rejected', 'snoozed')),
        until       timestamptz,
        recorded_at timestamptz NOT NULL
    );
    CREATE INDEX suggestion_feedback_user ON suggestion_feedback (user_id, recorded_at DESC);
    CREATE INDEX suggestion_feedback_task ON suggestion_feedback (task_id);

    GRANT SELECT, INSERT, UPDATE ON skill_mastery TO goals_user;
    GRANT SELECT, INSERT ON mastery_evidence, hint_grants, suggestion_feedback TO goals_user;
    GRANT SELECT, INSERT, UPDATE, DELETE ON skill_mastery, mastery_evidence, hint_grants, suggestion_feedback
        TO goals_service;

    ALTER TABLE skill_mastery       ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE mastery_evidence    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE hint_grants         ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE suggestion_feedback ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

    CREATE POLICY service ON skill_mastery       TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON mastery_evidence    TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON hint_grants         TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON suggestion_feedback TO goals_service USING (true) WITH CHECK (true);

    CREATE POLICY own ON skill_mastery TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    CREATE POLICY own ON mastery_evidence TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    CREATE POLICY own ON hint_grants TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    CREATE POLICY own ON suggestion_feedback TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE suggestion_feedback;
    DROP TABLE hint_grants;
    DROP TABLE mastery_evidence;
    DROP TABLE skill_mastery;
    """)
