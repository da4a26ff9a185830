"""Threads, their runs, the append-only log of frames every stream reads, and the fence around a lost lease."""

from alembic import op

revision = "013"
down_revision = "012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TYPE thread_status AS ENUM ('idle', 'busy', 'interrupted', 'error');
    CREATE TYPE run_status AS ENUM ('pending', 'running', 'success', 'error', 'timeout', 'interrupted');

    CREATE TABLE threads (
        thread_id        text PRIMARY KEY,
        user_id          text NOT NULL DEFAULT app_user_id(),
        graph_id         text,
        status           thread_status NOT NULL DEFAULT 'idle',
        metadata         jsonb NOT NULL DEFAULT '{}',
        interrupts       jsonb NOT NULL DEFAULT '{}',
        error            jsonb,
        stateless        boolean NOT NULL DEFAULT false,
        frame_seq        bigint NOT NULL DEFAULT 0,
        created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
        state_updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    COMMENT ON COLUMN threads.frame_seq IS 'Highest frame number of finished runs; pruning frames never lowers it.';
    CREATE INDEX threads_user ON threads (user_id, updated_at DESC);
    CREATE INDEX threads_metadata ON threads USING gin (metadata jsonb_path_ops);

    CREATE TABLE runs (
        run_id             text PRIMARY KEY,
        thread_id          text NOT NULL REFERENCES threads ON DELETE CASCADE,
        user_id            text NOT NULL DEFAULT app_user_id(),
        user_role          text NOT NULL,
        user_courses       text[] NOT NULL DEFAULT '{}',
        assistant_id       text NOT NULL,
        graph_id           text NOT NULL,
        status             run_status NOT NULL DEFAULT 'pending',
        protocol           smallint NOT NULL DEFAULT 1 CHECK (protocol IN (1, 2)),
        metadata           jsonb NOT NULL DEFAULT '{}',
        kwargs             jsonb NOT NULL DEFAULT '{}',
        multitask_strategy text NOT NULL DEFAULT 'enqueue',
        cancel             text CHECK (cancel IN ('interrupt', 'rollback')),
        base_checkpoint_id text,
        error              jsonb,
        request_id         text,
        start_after        timestamptz NOT NULL DEFAULT clock_timestamp(),
        attempt            integer NOT NULL DEFAULT 0,
        epoch              text,
        owner              text,
        lease_until        timestamptz,
        created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at        timestamptz,
        CHECK ((status = 'running') = (epoch IS NOT NULL)),
        CHECK ((status = 'running') = (lease_until IS NOT NULL))
    ) WITH (fillfactor = 80);
    -- PostgreSQL itself decides who runs on a thread: never two at once.
    CREATE UNIQUE INDEX runs_one_active ON runs (thread_id) WHERE status = 'running';
    CREATE INDEX runs_thread ON runs (thread_id, created_at DESC);
    CREATE INDEX runs_pending ON runs (created_at) WHERE status = 'pending';
    CREATE INDEX runs_leases ON runs (lease_until) WHERE status = 'running';

    CREATE TABLE run_frames (
        thread_id  text NOT NULL,
        seq        bigint NOT NULL,
        run_id     text NOT NULL,
        user_id    text NOT NULL,
        event      text NOT NULL,
        namespace  text NOT NULL DEFAULT '',
        data       text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (thread_id, seq)
    );
    CREATE INDEX run_frames_age ON run_frames USING brin (created_at);

    GRANT SELECT, INSERT, UPDATE, DELETE ON threads, runs TO goals_user, goals_service;
    GRANT SELECT, DELETE ON run_frames TO goals_user;
    GRANT SELECT, INSERT, DELETE ON run_frames TO goals_service;
    ALTER TABLE threads    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE runs       ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE run_frames ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY service ON threads    TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON runs       TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON run_frames TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY own ON threads TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    CREATE POLICY own ON runs TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    CREATE POLICY own ON run_frames TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));

    -- A worker that lost its lease may be frozen for minutes and then write. Every checkpoint write names the
    -- epoch of its claim; FOR SHARE holds the claim still until the write has committed.
    CREATE FUNCTION fence_checkpoint() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    DECLARE
        held text;
        claimed text := nullif(current_setting('app.epoch', true), '');
    BEGIN
        SELECT epoch INTO held FROM runs WHERE thread_id = NEW.thread_id AND status = 'running' FOR SHARE;
        IF held IS DISTINCT FROM claimed THEN
            RAISE EXCEPTION 'stale lease: another worker owns thread %', NEW.thread_id USING ERRCODE = '40001';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER fence BEFORE INSERT OR UPDATE ON checkpoints
        FOR EACH ROW EXECUTE FUNCTION fence_checkpoint();
    CREATE TRIGGER fence BEFORE INSERT OR UPDATE ON checkpoint_writes
        FOR EACH ROW EXECUTE FUNCTION fence_checkpoint();
    """)


def downgrade() -> None:
    op.execute("""
    DROP TRIGGER fence ON checkpoint_writes;
    DROP TRIGGER fence ON checkpoints;
    DROP FUNCTION fence_checkpoint();
    DROP TABLE run_frames;
    DROP TABLE runs;
    DROP TABLE threads;
    DROP TYPE run_status;
    DROP TYPE thread_status;
    """)
