"""The migrations lead there, back, and there again, and two processes may run them at once."""

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from store import migrate
from tests.postgres import Urls, cloned

SEVEN = {"users", "courses", "goals", "tasks", "code_snapshots", "events", "embeddings"}

CATALOGUE = """
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod) || a.attnotnull::text
    || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'policy', tablename, policyname, roles::text || cmd || coalesce(qual, '') || coalesce(with_check, '')
    FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT 'function', proname, pg_get_function_identity_arguments(oid), prosrc
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
        SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid)
    FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'enum', t.typname, e.enumlabel, e.enumsortorder::text
    FROM pg_enum AS e JOIN pg_type AS t ON t.oid = e.enumtypid
UNION ALL SELECT 'grant', table_name, grantee, string_agg(privilege_type, ',' ORDER BY privilege_type)
    FROM information_schema.role_table_grants WHERE table_schema = 'public' GROUP BY table_name, grantee
"""


@pytest.fixture
def empty(postgres: Urls) -> Iterator[Urls]:
    """A database nobody has migrated."""
    with cloned(postgres, "template0") as urls:
        yield urls


def _catalogue(url: str) -> set[tuple[str, ...]]:
    with psycopg.connect(url) as connection:
        return {row for row in connection.execute(CATALOGUE) if row[1] != "alembic_version"}


def test_up_down_and_up_again_gives_the_same_catalogue(empty: Urls) -> None:
    migrate.upgrade(empty.owner)
    first = _catalogue(empty.owner)
    assert {row[1] for row in first} >= SEVEN
    migrate.downgrade(empty.owner, "base")
    assert _catalogue(empty.owner) == set()
    migrate.upgrade(empty.owner)
    assert _catalogue(empty.owner) == first


def test_every_step_can_be_taken_back_and_repeated(empty: Urls) -> None:
    migrate.upgrade(empty.owner)
    whole = _catalogue(empty.owner)
    with psycopg.connect(empty.owner) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert row is not None
    for revision in range(int(row[0]) - 1, 0, -1):
        migrate.downgrade(empty.owner, f"{revision:03}")
        migrate.upgrade(empty.owner, f"{revision + 1:03}")
        migrate.downgrade(empty.owner, f"{revision:03}")
    migrate.upgrade(empty.owner)
    assert _catalogue(empty.owner) == whole


def test_two_processes_may_migrate_at_once(empty: Urls) -> None:
    program = "import sys; from store import migrate; migrate.upgrade(sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", program, empty.owner]) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    assert {row[1] for row in _catalogue(empty.owner)} >= SEVEN
    assert migrate.pending(empty.owner) == []


def test_the_vector_index_is_the_promised_one(urls: Urls) -> None:
    with psycopg.connect(urls.owner) as connection:
        definitions = [
            row[0] for row in connection.execute("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'")
        ]
        vector = connection.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = 'embeddings'::regclass AND attname = 'embedding'"
        ).fetchone()
    assert definitions
    assert all("vector_cosine_ops" in one and "m='16', ef_construction='64'" in one for one in definitions)
    assert vector == ("vector(1536)",)
