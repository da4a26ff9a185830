"""Who sees which rows, enforced by PostgreSQL itself."""

from alembic import op

revision = "009"
down_revision = "008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    ALTER TABLE users          ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE credentials    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE courses        ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE enrollments    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE goals          ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE tasks          ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE code_snapshots ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE events         ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

    CREATE POLICY service ON users          TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON credentials    TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON courses        TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON enrollments    TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON goals          TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON tasks          TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON code_snapshots TO goals_service USING (true) WITH CHECK (true);
    CREATE POLICY service ON events         TO goals_service USING (true) WITH CHECK (true);

    CREATE POLICY own ON users TO goals_user
        USING (id = (SELECT app_user_id()) OR (SELECT app_role()) = 'admin')
        WITH CHECK (id = (SELECT app_user_id()) OR (SELECT app_role()) = 'admin');

    CREATE POLICY readable ON courses FOR SELECT TO goals_user USING (
        owner_id = (SELECT app_user_id())
        OR (status = 'published' AND visibility = 'global')
        OR (status <> 'draft' AND id = ANY ((SELECT my_courses())::text[]))
    );
    CREATE POLICY owned_insert ON courses FOR INSERT TO goals_user WITH CHECK (
        owner_id = (SELECT app_user_id()) AND (SELECT app_role()) IN ('instructor', 'admin'));
    CREATE POLICY owned_update ON courses FOR UPDATE TO goals_user
        USING (owner_id = (SELECT app_user_id())) WITH CHECK (owner_id = (SELECT app_user_id()));

    CREATE POLICY readable ON enrollments FOR SELECT TO goals_user
        USING (user_id = (SELECT app_user_id()) OR course_owner_id = (SELECT app_user_id()));
    -- Anyone may join a published course; its owner may enroll anyone.
    CREATE POLICY join_course ON enrollments FOR INSERT TO goals_user WITH CHECK (
        EXISTS (
            SELECT FROM courses AS c
            WHERE c.id = course_id AND c.owner_id = course_owner_id AND (
                c.owner_id = (SELECT app_user_id())
                OR (c.status = 'published' AND user_id = (SELECT app_user_id()) AND enrolled_as = 'learner')
            )
        )
    );
    CREATE POLICY leave_course ON enrollments FOR DELETE TO goals_user
        USING (user_id = (SELECT app_user_id()) OR course_owner_id = (SELECT app_user_id()));

    -- Own rows. What one shares with a course must be a course one belongs to; only staff share with everybody.
    CREATE POLICY own ON goals TO goals_user USING (user_id = (SELECT app_user_id())) WITH CHECK (
        user_id = (SELECT app_user_id())
        AND (visibility <> 'course' OR course_id = ANY ((SELECT my_courses())::text[]))
        AND (visibility <> 'global' OR (SELECT app_role()) IN ('instructor', 'admin')));
    CREATE POLICY own ON tasks TO goals_user USING (user_id = (SELECT app_user_id())) WITH CHECK (
        user_id = (SELECT app_user_id())
        AND (visibility <> 'course' OR course_id = ANY ((SELECT my_courses())::text[]))
        AND (visibility <> 'global' OR (SELECT app_role()) IN ('instructor', 'admin')));
    CREATE POLICY own ON code_snapshots TO goals_user USING (user_id = (SELECT app_user_id())) WITH CHECK (
        user_id = (SELECT app_user_id())
        AND (visibility <> 'course' OR course_id = ANY ((SELECT my_courses())::text[]))
        AND (visibility <> 'global' OR (SELECT app_role()) IN ('instructor', 'admin')));

    CREATE POLICY shared ON goals FOR SELECT TO goals_user USING (
        visibility = 'global' OR (visibility = 'course' AND course_id = ANY ((SELECT my_courses())::text[])));
    CREATE POLICY shared ON tasks FOR SELECT TO goals_user USING (
        visibility = 'global' OR (visibility = 'course' AND course_id = ANY ((SELECT my_courses())::text[])));
    -- Code is shared only once it has passed validation.
    CREATE POLICY shared ON code_snapshots FOR SELECT TO goals_user USING (
        validation_status = 'passed' AND (
            visibility = 'global' OR (visibility = 'course' AND course_id = ANY ((SELECT my_courses())::text[]))));

    CREATE POLICY own ON events FOR SELECT TO goals_user USING (user_id = (SELECT app_user_id()));
    CREATE POLICY authored ON events FOR INSERT TO goals_user WITH CHECK (actor = (SELECT app_user_id()));
    """)


def downgrade() -> None:
    op.execute("""
    DROP POLICY authored ON events;
    DROP POLICY own ON events;
    DROP POLICY shared ON code_snapshots;
    DROP POLICY shared ON tasks;
    DROP POLICY shared ON goals;
    DROP POLICY own ON code_snapshots;
    DROP POLICY own ON tasks;
    DROP POLICY own ON goals;
    DROP POLICY leave_course ON enrollments;
    DROP POLICY join_course ON enrollments;
    DROP POLICY readable ON enrollments;
    DROP POLICY owned_update ON courses;
    DROP POLICY owned_insert ON courses;
    DROP POLICY readable ON courses;
    DROP POLICY own ON users;
    DROP POLICY service ON events;
    DROP POLICY service ON code_snapshots;
    DROP POLICY service ON tasks;
    DROP POLICY service ON goals;
    DROP POLICY service ON enrollments;
    DROP POLICY service ON courses;
    DROP POLICY service ON credentials;
    DROP POLICY service ON users;
    ALTER TABLE events         DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE code_snapshots DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE tasks          DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE goals          DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE enrollments    DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE courses        DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE credentials    DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE users          DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
    """)
