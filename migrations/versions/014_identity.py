"""Refresh tokens, sign-in links, failed sign-ins and the answers kept for idempotent requests."""

from alembic import op

revision = "014"
down_revision = "013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    -- Only hashes are kept: a copy of this table signs nobody in.
    CREATE TABLE refresh_tokens (
        token_hash bytea PRIMARY KEY,
        family_id  uuid NOT NULL,
        user_id    text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        expires_at timestamptz NOT NULL,
        spent_at   timestamptz,
        revoked_at timestamptz
    );
    CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
    CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
    CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

    CREATE TABLE sign_in_links (
        token_hash bytea PRIMARY KEY,
        user_id    text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        expires_at timestamptz NOT NULL
    );
    CREATE INDEX sign_in_links_expiry ON sign_in_links (expires_at);

    -- One counter per account and one per address, both hashed, so that guessing slows down across all processes.
    CREATE TABLE sign_in_attempts (
        bucket     bytea PRIMARY KEY,
        failures   integer NOT NULL,
        expires_at timestamptz NOT NULL
    );
    CREATE INDEX sign_in_attempts_expiry ON sign_in_attempts (expires_at);

    -- The answer to a POST, committed together with what the POST wrote.
    CREATE TABLE idempotency_keys (
        user_id      text NOT NULL,
        key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
        request_hash bytea NOT NULL,
        status       smallint NOT NULL,
        headers      jsonb NOT NULL,
        body         bytea NOT NULL,
        created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (user_id, key)
    );
    CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

    GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_tokens, sign_in_links, sign_in_attempts, idempotency_keys
        TO goals_service;
    GRANT SELECT, INSERT ON idempotency_keys TO goals_user;

    ALTER TABLE refresh_tokens   ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE sign_in_links    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE sign_in_attempts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY service ON refresh_tokens   TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON sign_in_links    TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON sign_in_attempts TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON idempotency_keys TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY own ON refresh_tokens TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    CREATE POLICY own ON sign_in_links TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    CREATE POLICY own ON idempotency_keys TO goals_user
        USING (user_id = (SELECT app_user_id())) WITH CHECK (user_id = (SELECT app_user_id()));
    """)


def downgrade() -> None:
    op.execute("""
    DROP TABLE idempotency_keys;
    DROP TABLE sign_in_attempts;
    DROP TABLE sign_in_links;
    DROP TABLE refresh_tokens;
    """)
