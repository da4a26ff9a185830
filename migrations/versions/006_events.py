"""The append-only history of every change."""

from alembic import op

revision = "006"
down_revision = "005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE events (
        seq            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        -- bigint rather than xid8: the planner has true statistics for it.
        xid            bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
        id             uuid NOT NULL UNIQUE,
        entity_type    text NOT NULL,
        entity_id      text NOT NULL,
        entity_version bigint NOT NULL CHECK (entity_version > 0),
        type           text NOT NULL CHECK (type ~ '^[a-z_]+\\.[a-z_]+$'),
        schema_version smallint NOT NULL,
        occurred_at    timestamptz NOT NULL,
        recorded_at    timestamptz NOT NULL,
        actor          text NOT NULL,
        user_id        text NOT NULL,
        thread_id      text,
        run_id         text,
        checkpoint_id  text,
        tool_call_id   text,
        correlation_id uuid NOT NULL,
        causation_id   uuid,
        command_key    text,
        payload        jsonb NOT NULL CHECK (pg_column_size(payload) < 2200000),
        metadata       jsonb NOT NULL,
        UNIQUE (entity_type, entity_id, entity_version)
    );
    CREATE INDEX events_cursor ON events (xid, seq);
    CREATE INDEX events_user ON events (user_id, seq DESC);
    CREATE INDEX events_run ON events (run_id) WHERE run_id IS NOT NULL;
    CREATE UNIQUE INDEX events_command ON events (command_key) WHERE command_key IS NOT NULL;

    -- History is only ever added to. Erasure and pruning announce themselves by a setting of their transaction.
    CREATE FUNCTION events_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        IF current_setting('app.event_maintenance', true) IN ('erase', 'prune') AND current_user = 'goals_service' THEN
            RETURN coalesce(NEW, OLD);
        END IF;
        RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'insufficient_privilege';
    END $$;
    CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events
        FOR EACH ROW EXECUTE FUNCTION events_append_only();
    CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events
        FOR EACH STATEMENT EXECUTE FUNCTION events_append_only();
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE events;
    DROP FUNCTION events_append_only();
    """)
