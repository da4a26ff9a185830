"""The total order of events, the cursors of those who read it, and snapshots that keep replay short."""

from alembic import op

revision = "011"
down_revision = "010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    -- Gap-free positions, given after commit by one sequencer. No foreign key: it would lock every event row.
    CREATE TABLE event_log (
        position     bigint PRIMARY KEY,
        seq          bigint NOT NULL UNIQUE,
        sequenced_at timestamptz NOT NULL
    );
    -- What each cut covered; kept for ever, so that pruned history can still be proven whole.
    CREATE TABLE event_batches (
        batch_no       bigint PRIMARY KEY,
        epoch          integer NOT NULL,
        first_position bigint NOT NULL,
        last_position  bigint NOT NULL,
        sequenced_at   timestamptz NOT NULL,
        upto           pg_snapshot NOT NULL,
        digest         bytea NOT NULL
    );
    CREATE INDEX event_batches_sequenced ON event_batches (sequenced_at);
    CREATE INDEX event_batches_position ON event_batches (last_position);
    CREATE TABLE event_head (
        one               boolean PRIMARY KEY DEFAULT true CHECK (one),
        upto              pg_snapshot NOT NULL,
        next_position     bigint NOT NULL,
        batch_no          bigint NOT NULL,
        sequenced_at      timestamptz NOT NULL,
        digest            bytea NOT NULL,
        epoch             integer NOT NULL,
        system_identifier bigint NOT NULL,
        seq_floor         bigint NOT NULL DEFAULT 0, -- after a restore, transaction ids of older rows mean nothing
        pruned_to         bigint NOT NULL DEFAULT 0
    );
    -- The first normal transaction id is 3: everything committed so far counts as new to the first cut.
    INSERT INTO event_head (upto, next_position, batch_no, sequenced_at, digest, epoch, system_identifier)
    SELECT '3:3:', 1, 0, clock_timestamp(), '\\x', 1, system_identifier FROM pg_control_system();

    CREATE TABLE sinks (
        name         text PRIMARY KEY,
        position     bigint NOT NULL DEFAULT 0,
        pending_end  bigint,
        flush_to     bigint NOT NULL DEFAULT 0, -- somebody waits for this position: do not gather more company
        failures     integer NOT NULL DEFAULT 0,
        last_error   text,
        failed_at    timestamptz,
        updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE TABLE sink_parked (
        sink      text NOT NULL,
        position  bigint NOT NULL,
        attempts  integer NOT NULL,
        error     text NOT NULL,
        parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        retry     boolean NOT NULL DEFAULT false,
        PRIMARY KEY (sink, position)
    );
    -- Digests of events whose content was erased: the chain can still be recomputed, the content cannot be.
    CREATE TABLE event_redactions (
        position  bigint PRIMARY KEY,
        original  bytea NOT NULL,
        remaining bytea NOT NULL,
        erased_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE TABLE entity_snapshots (
        entity_type text NOT NULL,
        entity_id   text NOT NULL,
        version     bigint NOT NULL,
        reducer     text NOT NULL,
        user_id     text NOT NULL,
        position    bigint NOT NULL,
        recorded_at timestamptz NOT NULL,
        created_at  timestamptz NOT NULL,
        deleted     boolean NOT NULL,
        state       jsonb NOT NULL,
        PRIMARY KEY (entity_type, entity_id, reducer, version)
    );
    CREATE INDEX entity_snapshots_user ON entity_snapshots (user_id);
    CREATE AGGREGATE jsonb_fold (jsonb) (SFUNC = jsonb_concat, STYPE = jsonb, INITCOND = '{}');

    -- Positions and times carry no one's data; readers need them to join their own events.
    GRANT SELECT ON event_log, event_batches, event_head TO goals_user;
    GRANT SELECT, INSERT, UPDATE, DELETE ON event_log, event_batches, sinks, sink_parked, event_redactions,
        entity_snapshots TO goals_service;
    GRANT SELECT, UPDATE ON event_head TO goals_service;
    GRANT SELECT ON entity_snapshots TO goals_user;
    ALTER TABLE entity_snapshots ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY service ON entity_snapshots TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY own ON entity_snapshots FOR SELECT TO goals_user USING (user_id = (SELECT app_user_id()));
    """)


def downgrade() -> None:
    op.execute("""
    DROP AGGREGATE jsonb_fold (jsonb);
    DROP TABLE entity_snapshots, event_redactions, sink_parked, sinks, event_head, event_batches, event_log;
    """)
