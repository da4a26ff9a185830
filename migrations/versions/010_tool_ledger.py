"""The ledger that makes tool effects happen exactly once."""

from alembic import op

revision = "010"
down_revision = "009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    -- One row per tool call of a thread: claim, effect, event and result commit together, so a repeat finds its answer.
    CREATE TABLE tool_ledger (
        thread_id     text NOT NULL,
        ai_message_id text NOT NULL,
        call_index    integer NOT NULL CHECK (call_index >= 0),
        user_id       text NOT NULL,
        tool_call_id  text,
        tool          text NOT NULL,
        args_hash     text NOT NULL,
        status        text NOT NULL CHECK (status IN ('claimed', 'done', 'error')),
        result        jsonb,
        run_id        text,
        checkpoint_id text,
        created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (thread_id, ai_message_id, call_index)
    );
    CREATE INDEX tool_ledger_run ON tool_ledger (run_id) WHERE run_id IS NOT NULL;
    GRANT SELECT, INSERT, UPDATE ON tool_ledger TO goals_user;
    GRANT SELECT, INSERT, UPDATE, DELETE ON tool_ledger TO goals_service;
    ALTER TABLE tool_ledger ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY service ON tool_ledger TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY own ON tool_ledger TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE tool_ledger;
    """)
