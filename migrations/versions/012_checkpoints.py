"""LangGraph's checkpoint tables, as its PostgreSQL saver 3.2.0 makes them, with an owner on every row."""

from alembic import op

revision = "012"
down_revision = "011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    -- The saver's own setup() needs rights nobody has at run time; ten rows tell it that there is nothing to do.
    CREATE TABLE checkpoint_migrations (v integer PRIMARY KEY);
    INSERT INTO checkpoint_migrations (v) SELECT generate_series(0, 9);

    CREATE TABLE checkpoints (
        thread_id            text NOT NULL,
        checkpoint_ns        text NOT NULL DEFAULT '',
        checkpoint_id        text NOT NULL,
        parent_checkpoint_id text,
        type                 text,
        checkpoint           jsonb NOT NULL,
        metadata             jsonb NOT NULL DEFAULT '{}',
        user_id              text NOT NULL DEFAULT app_user_id(),
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
    );
    CREATE TABLE checkpoint_blobs (
        thread_id     text NOT NULL,
        checkpoint_ns text NOT NULL DEFAULT '',
        channel       text NOT NULL,
        version       text NOT NULL,
        type          text NOT NULL,
        blob          bytea,
        user_id       text NOT NULL DEFAULT app_user_id(),
        PRIMARY KEY (thread_id, checkpoint_ns, channel, version)
    );
    CREATE TABLE checkpoint_writes (
        thread_id     text NOT NULL,
        checkpoint_ns text NOT NULL DEFAULT '',
        checkpoint_id text NOT NULL,
        task_id       text NOT NULL,
        idx           integer NOT NULL,
        channel       text NOT NULL,
        type          text,
        blob          bytea NOT NULL,
        task_path     text NOT NULL DEFAULT '',
        user_id       text NOT NULL DEFAULT app_user_id(),
        PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    );
    CREATE INDEX checkpoints_thread_id_idx ON checkpoints (thread_id);
    CREATE INDEX checkpoint_blobs_thread_id_idx ON checkpoint_blobs (thread_id);
    CREATE INDEX checkpoint_writes_thread_id_idx ON checkpoint_writes (thread_id);

    GRANT SELECT ON checkpoint_migrations TO goals_user, goals_service;
    GRANT SELECT, INSERT, UPDATE, DELETE ON checkpoints, checkpoint_blobs, checkpoint_writes
        TO goals_user, goals_service;
    ALTER TABLE checkpoints       ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE checkpoint_blobs  ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE checkpoint_writes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY service ON checkpoints       TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON checkpoint_blobs  TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON checkpoint_writes TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY own ON checkpoints TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    CREATE POLICY own ON checkpoint_blobs TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    CREATE POLICY own ON checkpoint_writes TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE checkpoint_writes;
    DROP TABLE checkpoint_blobs;
    DROP TABLE checkpoints;
    DROP TABLE checkpoint_migrations;
    """)
