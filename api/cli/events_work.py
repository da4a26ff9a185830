"""What the `goals events` commands do, apart from printing."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from api.cli.console import Trouble, err
from api.settings import Settings
from api.worker import EventPathConfig, event_path
from store import audit, broker_audit, embedded, erasure, feed, lag, retention
from store import history as past
from store import repair as mending
from store.audit import Report
from store.database import Database
from store.erasure import Erased
from store.history import Event, Replayed, SystemState
from store.lake import Lake
from store.principal import SERVICE, Principal
from store.repair import Repaired
from store.retention import Pruned
from store.types import Page, Role
from store.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Opened:
    """The database and the lake, as the settings name them."""

    database: Database
    lake: Lake
    rabbitmq_url: str | None

    @property
    def config(self) -> EventPathConfig:
        return EventPathConfig(self.lake.uri, self.rabbitmq_url)


@asynccontextmanager
async def opened() -> AsyncGenerator[Opened]:
    """Open what the settings name; an embedded PostgreSQL is joined, or started for as long as the command runs."""
    settings = Settings()
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            server = await asyncio.to_thread(stack.enter_context, embedded.start(settings.data_dir, _tell))
            url = server.login_url
        else:
            url = settings.database_url.get_secret_value()
        database = await stack.enter_async_context(
            Database(url, max_size=4, statement_timeout=3600, transaction_timeout=3600)
        )
        async with database.transaction(SERVICE) as tx:
            epoch = (await lag.head(tx)).epoch
        rabbitmq = settings.rabbitmq_url
        yield Opened(database, Lake(settings.lake, epoch=epoch), rabbitmq.get_secret_value() if rabbitmq else None)


async def status() -> dict[str, Any]:
    async with opened() as at, at.database.transaction(SERVICE) as tx:
        return {**asdict(await lag.head(tx)), "sinks": [asdict(each) for each in await lag.sinks(tx)]}


async def history(entity_type: str, entity_id: str, user: str | None, skip: int, limit: int) -> Page[Event]:
    async with opened() as at, at.database.transaction(_reader(user)) as tx:
        return await past.history(tx, entity_type, entity_id, skip, limit, archive=at.lake)


async def replay(
    entity_type: str,
    entity_id: str,
    user: str | None,
    version: int | None,
    moment: datetime | None,
    position: int | None,
) -> Replayed:
    async with opened() as at, at.database.transaction(_reader(user)) as tx:
        return await past.replay(
            tx, entity_type, entity_id, version=version, at=moment, position=position, archive=at.lake
        )


async def system(moment: datetime | None, user: str | None, skip: int, limit: int) -> SystemState:
    async with opened() as at, at.database.transaction(_reader(user)) as tx:
        return await past.system_at(tx, at=moment, skip=skip, limit=limit, archive=at.lake)


async def follow(after: int | None, user: str | None, show: Callable[[Event], None]) -> None:
    async with (
        opened() as at,
        Wakeups(at.database.url) as wakeups,
        aclosing(feed.follow(at.database, wakeups, _reader(user), after)) as batches,
    ):
        async for events in batches:
            for event in events:
                show(event)


async def flush() -> bool:
    async with opened() as at, event_path(at.config, at.database) as path:
        return await path.flush(60)


async def verify() -> Report:
    async with opened() as at, at.database.transaction(SERVICE) as tx:
        report = await audit.verify(tx, at.lake)
        if at.rabbitmq_url is not None:
            await broker_audit.verify_broker(tx, report, at.rabbitmq_url)
        return report


async def repair() -> Repaired:
    async with opened() as at:
        return await mending.repair_lake(at.database, at.lake)


async def prune(before: datetime, ignoring: frozenset[str]) -> Pruned:
    async with opened() as at:
        return await retention.prune(at.database, at.lake, before=before, ignoring=ignoring)


async def parked() -> list[dict[str, Any]]:
    async with opened() as at, at.database.transaction(SERVICE) as tx:
        cursor = await tx.connection.execute(
            "SELECT sink, position, attempts, error, parked_at, retry FROM sink_parked ORDER BY sink, position"
        )
        names = ("sink", "position", "attempts", "error", "parked_at", "retry")
        return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


async def unpark(sink: str, position: int | None) -> int:
    async with opened() as at, at.database.transaction(SERVICE) as tx:
        count = await tx.execute(
            "UPDATE sink_parked SET retry = true WHERE sink = %s AND position = coalesce(%s, position)",
            [sink, position],
        )
        await tx.execute("SELECT pg_notify('goals_events_sequenced', '')")
        return count


async def redeliver(sink: str, after: int) -> None:
    async with opened() as at:
        if sink == Lake.name:
            raise Trouble(
                "The lake already holds these events once.", "`goals events repair` writes damaged files again."
            )
        await mending.rewind(at.database, sink, after)


async def erase(user_id: str) -> Erased:
    async with opened() as at, event_path(at.config, at.database):
        return await erasure.erase_user(at.database, at.lake, user_id, rabbitmq_url=at.rabbitmq_url)


async def adopt() -> int:
    async with opened() as at:
        return await mending.adopt(at.database, at.lake)


def _reader(user: str | None) -> Principal:
    if user == "":
        raise Trouble("--user needs an id.")
    return SERVICE if user is None else Principal(user, Role.LEARNER)


def _tell(message: str) -> None:
    err.print(f"[quiet]{message}[/quiet]")
