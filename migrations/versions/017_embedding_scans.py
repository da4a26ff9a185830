"""A scope is read from an index alone, by its signs; the rows to be compared exactly are then found by a small number."""

from alembic import op

revision = "017"
down_revision = "016"
branch_labels = None
depends_on = None

# All that a scope's predicate, the filters and the policy look at: PostgreSQL then leaves the table alone.
_COVERED = "bits, entity_type, model, row_id, visibility, validated, language, changed_at"
_LEAVES = """
DO $$
DECLARE leaf regclass;
BEGIN
    FOR leaf IN SELECT relid FROM pg_partition_tree('embeddings') WHERE isleaf LOOP
        EXECUTE format('ALTER TABLE %s SET (toast_tuple_target = {target})', leaf);
    END LOOP;
END $$;
"""


def upgrade() -> None:
    op.execute("SET LOCAL maintenance_work_mem = '512MB'")  # the next statements write every row and graph anew
    op.execute("ALTER TABLE embeddings ALTER COLUMN embedding SET STORAGE PLAIN")
    op.execute(_LEAVES.format(target=8160))  # or else every text would be moved out to make room for the vector
    op.execute("ALTER TABLE embeddings ADD COLUMN row_id bigint GENERATED ALWAYS AS IDENTITY")
    op.execute(f"""
    DROP INDEX embeddings_by_user;
    DROP INDEX embeddings_by_course;
    CREATE INDEX embeddings_by_user ON embeddings (user_id) INCLUDE ({_COVERED}, course_id);
    CREATE INDEX embeddings_by_course ON embeddings (course_id) INCLUDE ({_COVERED}, user_id)
        WHERE visibility <> 'private';
    CREATE INDEX embeddings_global ON embeddings (language) INCLUDE ({_COVERED.replace("language, ", "")}, user_id, course_id)
        WHERE visibility = 'global';
    CREATE INDEX embeddings_row ON embeddings (row_id);
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE embeddings ALTER COLUMN embedding SET STORAGE EXTERNAL")
    op.execute(_LEAVES.format(target=512))
    op.execute("""
    DROP INDEX embeddings_by_user;
    DROP INDEX embeddings_by_course;
    DROP INDEX embeddings_global;
    ALTER TABLE embeddings DROP COLUMN row_id;
    CREATE INDEX embeddings_by_user ON embeddings (user_id);
    CREATE INDEX embeddings_by_course ON embeddings (course_id) WHERE visibility <> 'private';
    """)
