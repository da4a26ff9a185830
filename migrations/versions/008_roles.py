"""The login role, the request role, the background role, and who may touch what."""

from alembic import op

revision = "008"
down_revision = "007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    -- Roles belong to the whole server, so another database may have made them already.
    DO $$
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'goals_user') THEN
            CREATE ROLE goals_user NOLOGIN NOINHERIT NOBYPASSRLS;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'goals_service') THEN
            CREATE ROLE goals_service NOLOGIN NOINHERIT NOBYPASSRLS;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'goals_login') THEN
            CREATE ROLE goals_login LOGIN NOINHERIT NOBYPASSRLS;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- a second database of this server was migrated in the same moment
    END $$;
    GRANT goals_user, goals_service TO goals_login WITH INHERIT FALSE, SET TRUE;
    GRANT USAGE ON SCHEMA public TO goals_user, goals_service;

    -- Who is asking: settings local to the transaction. Empty or missing means nobody, and nobody owns nothing.
    CREATE FUNCTION app_user_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
        RETURN nullif(current_setting('app.user_id', true), '');
    CREATE FUNCTION app_role() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
        RETURN nullif(current_setting('app.role', true), '');
    -- Runs with the caller's rights: enrollments are filtered by their own policy.
    CREATE FUNCTION my_courses() RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog, public AS $$
        SELECT coalesce(array_agg(course_id), '{}') FROM (
            SELECT course_id FROM enrollments WHERE user_id = app_user_id()
            UNION
            SELECT jsonb_array_elements_text(nullif(current_setting('app.course_ids', true), '')::jsonb)
        ) AS mine
    $$;
    GRANT EXECUTE ON FUNCTION app_user_id(), app_role(), my_courses() TO goals_user, goals_service;

    GRANT SELECT, INSERT, UPDATE, DELETE ON enrollments, goals, tasks, code_snapshots TO goals_user, goals_service;
    GRANT SELECT, INSERT, UPDATE ON users, courses TO goals_user;
    GRANT SELECT, INSERT, UPDATE, DELETE ON users, courses, credentials TO goals_service;
    GRANT SELECT, INSERT ON events TO goals_user;
    GRANT SELECT, INSERT, DELETE, UPDATE (payload, metadata, actor) ON events TO goals_service;
    """)


def downgrade() -> None:
    op.execute("""
    REVOKE ALL ON users, courses, enrollments, goals, tasks, code_snapshots, events, credentials
        FROM goals_user, goals_service;
    DROP FUNCTION my_courses();
    DROP FUNCTION app_role();
    DROP FUNCTION app_user_id();
    REVOKE USAGE ON SCHEMA public FROM goals_user, goals_service;
    -- The roles stay while another database of this server still grants something to them.
    DO $$
    DECLARE name text;
    BEGIN
        FOREACH name IN ARRAY ARRAY['goals_login', 'goals_service', 'goals_user'] LOOP
            BEGIN
                EXECUTE format('DROP ROLE IF EXISTS %I', name);
            EXCEPTION WHEN dependent_objects_still_exist OR object_in_use THEN
                NULL;
            END;
        END LOOP;
    END $$;
    """)
