"""A database that says nothing: every caller gets an answer in bounded time, and service goes on once it speaks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from store.database import Database
from store.errors import Unavailable
from store.principal import Principal
from tests.postgres import Urls


class Line:
    """A proxy on the way to PostgreSQL that can fall silent: it goes on taking what it is sent, and answers nothing."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.silent = False
        self.tasks: list[asyncio.Task[None]] = []
        self.ends: list[asyncio.StreamWriter] = []

    async def serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, onward = await asyncio.open_unix_connection(self.target)
        self.ends += [onward, back]
        self.tasks += [asyncio.create_task(self.pump(*ends)) for ends in ((near, onward), (far, back))]

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                if not self.silent:
                    sink.write(data)
        sink.close()

    async def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()
        await asyncio.gather(*self.tasks)


@pytest.fixture
async def line(urls: Urls, tmp_path: Path) -> AsyncIterator[Line]:
    known = conninfo_to_dict(urls.login)
    proxy = Line(Path(str(known["host"])) / f".s.PGSQL.{known.get('port') or 5432}")
    server = await asyncio.start_unix_server(proxy.serve, tmp_path / proxy.target.name)
    yield proxy
    server.close()
    await proxy.cut()


@pytest.fixture
async def database(urls: Urls, line: Line, tmp_path: Path) -> AsyncIterator[Database]:
    url = make_conninfo(urls.login, host=str(tmp_path))
    async with Database(url, answer_timeout=0.5, transaction_timeout=1.0, pool_timeout=1.0) as opened:
        yield opened


async def test_a_new_transaction_does_not_wait_for_ever(database: Database, line: Line, learner: Principal) -> None:
    await database.check()
    line.silent = True
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        async with database.transaction(learner):
            pass
    assert time.monotonic() - begun < 5
    line.silent = False
    async with asyncio.timeout(30):
        while True:
            try:
                await database.check()
            except Unavailable:
                await asyncio.sleep(0.1)
            else:
                break


async def test_nor_does_one_that_is_open(database: Database, line: Line, learner: Principal) -> None:
    begun = time.monotonic()

    async def look() -> None:
        async with database.transaction(learner) as tx:
            line.silent = True
            await tx.fetch_value("SELECT 1")

    with pytest.raises(Unavailable):
        await look()
    assert time.monotonic() - begun < 5
    line.silent = False
