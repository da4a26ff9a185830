"""A full disk under PostgreSQL: refused politely, nothing acknowledged is lost, and work goes on when there is room."""

import asyncio
import os
import time
from pathlib import Path
from uuid import UUID

import pytest

from store import embedded, goals, migrate
from store.database import Database
from store.errors import Unavailable
from store.goals import GoalFilter, NewGoal
from store.principal import Principal
from store.types import Role
from tests.chaos.disks import fill, small_disk

ADA = Principal("ada", Role.LEARNER)
PATIENCE_SECONDS = 60


async def written(database: Database, kept: set[UUID]) -> None:
    """Write one goal too large to be compressed away, and note it once it is acknowledged."""
    async with database.transaction(ADA) as tx:
        goal = await goals.create(tx, NewGoal(title="Fill the disk", description=os.urandom(5_000).hex()))
    kept.add(goal.id)


async def write_until_refused(database: Database, kept: set[UUID]) -> None:
    """Write until there is no room; anything but `Unavailable` is a fault of ours."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            await written(database, kept)
        except Unavailable:
            return
    pytest.fail("the disk never filled")


async def until_it_writes_again(data: Path, kept: set[UUID]) -> None:
    """Write one more goal, into whatever server there is, started anew if the full disk ended it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with embedded.start(data) as server:
                async with Database(server.login_url) as database:
                    return await written(database, kept)
        except Unavailable:
            assert time.monotonic() < deadline, "there is room again, and still nothing can be written"
            await asyncio.sleep(0.2)


@pytest.mark.chaos
async def test_a_full_disk_loses_nothing_acknowledged(tmp_path: Path) -> None:
    kept: set[UUID] = set()
    with small_disk(tmp_path / "disk", "400m") as disk:
        data = disk / "data"
        with embedded.start(data) as server:
            migrate.upgrade(server.owner_url)
            async with Database(server.login_url) as database:
                await written(database, kept)
                fill(disk / "ballast", leaving=8_000_000)
                await write_until_refused(database, kept)
                with pytest.raises(Unavailable):
                    await written(database, kept)
                (disk / "ballast").unlink()
                await until_it_writes_again(data, kept)
        with embedded.start(data) as server:
            async with Database(server.login_url) as database:
                page = await goals.list(database.reader(ADA), GoalFilter(limit=100_000))
                assert {goal.id for goal in page.items} >= kept
                async with database.transaction(ADA) as tx:
                    events = await tx.fetch_value("SELECT count(*) FROM events WHERE entity_type = 'goal'")
                assert events == page.total
