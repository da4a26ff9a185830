"""What has run out is deleted without anybody asking."""

import asyncio

from api.expiry import expiring
from store.database import Database
from store.principal import SERVICE

# One row of each kind that has run out, and one that has not.
ROWS = """
WITH ages AS (SELECT * FROM (VALUES ('old', interval '-25 hours'), ('new', interval '1 hour')) AS a (name, age)),
answers AS (
    INSERT INTO idempotency_keys (user_id, key, request_hash, status, headers, body, created_at)
    SELECT 'u', name, '', 201, '{}', '', clock_timestamp() + age FROM ages
), tokens AS (
    INSERT INTO refresh_tokens (token_hash, family_id, user_id, expires_at)
    SELECT name::bytea, gen_random_uuid(), 'u', clock_timestamp() + age FROM ages
), links AS (
    INSERT INTO sign_in_links (token_hash, user_id, expires_at)
    SELECT name::bytea, 'u', clock_timestamp() + age FROM ages
)
INSERT INTO sign_in_attempts (bucket, failures, expires_at)
SELECT name::bytea, 1, clock_timestamp() + age FROM ages
"""


async def _counted(database: Database) -> list[int]:
    async with database.transaction(SERVICE) as tx:
        return [
            await tx.fetch_value("SELECT count(*) FROM idempotency_keys"),
            await tx.fetch_value("SELECT count(*) FROM refresh_tokens"),
            await tx.fetch_value("SELECT count(*) FROM sign_in_links"),
            await tx.fetch_value("SELECT count(*) FROM sign_in_attempts"),
        ]


async def test_what_has_run_out_is_deleted(database: Database) -> None:
    async with database.transaction(SERVICE) as tx:
        await tx.execute(ROWS)
    assert await _counted(database) == [2, 2, 2, 2]
    async with expiring(database), asyncio.timeout(10):
        while await _counted(database) != [1, 1, 1, 1]:  # noqa: ASYNC110 - another task does it
            await asyncio.sleep(0.02)
