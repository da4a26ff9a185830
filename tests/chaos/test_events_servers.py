"""Kills and starves the servers under the event path: PostgreSQL, RabbitMQ, the disk of the lake."""

import asyncio
import random
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest

from store import embedded, migrate
from store.embedded import Server
from store.lake import Lake
from tests.chaos import campaign
from tests.chaos.campaign import KILLED, Child, Nursery, sequence_all, write_rounds
from tests.chaos.disks import fill, small_disk
from tests.chaos.test_events import BROKER_STEPS, LAKE_STEPS, bound_queue, nursery, two_days
from tests.events import until
from tests.postgres import Urls
from tests.rabbitmq import Node, private_node, rabbitmq_url

__all__ = ["nursery", "rabbitmq_url"]
SEED = 20261122


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A broker of this file's own, to be killed."""
    with private_node(tmp_path_factory.mktemp("doomed")) as opened:
        yield opened


def kill_postgres(server: Server) -> None:
    """End the postmaster and every backend at once, as a power cut would."""
    assert server.pid
    postmaster = psutil.Process(server.pid)
    for process in [postmaster, *postmaster.children(recursive=True)]:
        process.kill()


@asynccontextmanager
async def writing(nursery: Nursery, url: str, folder: Path, lake: str) -> AsyncGenerator[list[Path]]:
    """Three writers and a whole event path at work; yields where acknowledgements are noted."""
    notes = [folder / f"acknowledged-{number}" for number in range(3)]
    children: list[Child] = [
        await nursery.start("writer", url=url, user=f"u{number}", acknowledged=str(noted))
        for number, noted in enumerate(notes)
    ]
    ready = folder / "ready"
    children.append(await nursery.start("path", url=url, lake=lake, ready=str(ready)))
    await until(ready.exists, 60)  # it needs a database to begin with, as any service does
    try:
        yield notes
    finally:
        for child in children:
            child.send(signal.SIGKILL)
            await child.wait()


def noted(notes: list[Path]) -> int:
    return sum(len(path.read_text().split()) for path in notes if path.exists())


async def postgres_campaign(nursery: Nursery, folder: Path, kills: int) -> int:
    """Kill PostgreSQL under load so many times; return how many goals were acknowledged."""
    lake = str(folder / "lake")
    server = embedded.start(folder / "data")
    try:
        migrate.upgrade(server.owner_url)
        async with writing(nursery, server.login_url, folder, lake) as notes:
            for _ in range(kills):
                before = noted(notes)
                await until(lambda at_least=before + 25: noted(notes) >= at_least, 60)
                kill_postgres(server)
                server.close()
                server = await asyncio.to_thread(embedded.start, folder / "data")
            before = noted(notes)
            await until(lambda: noted(notes) >= before + 15, 60)
        await sequence_all(server.login_url)
        assert await nursery.run("lake", url=server.login_url, lake=lake) == 0
        acknowledged = {identity for path in notes for identity in path.read_text().split()}
        rows = campaign.sequenced(server.owner_url)
        assert campaign.order_faults(rows) == []
        versions = {(row[1], row[2]) for row in rows}
        assert [identity for identity in acknowledged if (identity, 2) not in versions] == []
        assert campaign.lake_faults(server.owner_url, lake) == []
        assert (await campaign.audit_of(server.login_url, lake)).differences == []
    finally:
        server.close()
    return len(acknowledged)


async def test_killing_postgresql_under_load_loses_nothing_acknowledged(nursery: Nursery, tmp_path: Path) -> None:
    assert await postgres_campaign(nursery, tmp_path, kills=1) >= 40


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_killing_postgresql_again_and_again(nursery: Nursery, tmp_path: Path) -> None:
    assert await postgres_campaign(nursery, tmp_path, kills=4) >= 115


async def test_a_killed_broker_gets_everything_once_it_is_back(nursery: Nursery, urls: Urls, node: Node) -> None:
    exchange = f"test.{uuid4().hex}"
    queue = await bound_queue(node.url, exchange)
    await asyncio.to_thread(node.settle)
    write_rounds(urls.owner, 60)
    await sequence_all(urls.login)
    child = await nursery.start("broker", url=urls.login, rabbitmq=node.url, exchange=exchange)
    await until(lambda: cursor_of(urls, "broker") > 0, 20)
    node.kill()
    write_rounds(urls.owner, 10, first=61)  # writers do not notice
    await sequence_all(urls.login)
    await asyncio.to_thread(node.start)
    assert await child.wait(90) == 0
    positions = await campaign.received(node.url, queue)
    assert campaign.broker_faults(positions, 700) == []


async def test_a_broker_out_of_memory_delays_and_loses_nothing(nursery: Nursery, urls: Urls, node: Node) -> None:
    exchange = f"test.{uuid4().hex}"
    queue = await bound_queue(node.url, exchange)
    await asyncio.to_thread(node.control, "set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        write_rounds(urls.owner, 30)
        await sequence_all(urls.login)
        config = {"url": urls.login, "rabbitmq": node.url, "exchange": exchange}
        child = await nursery.start("broker", confirm=2, **config)
        await until(lambda: "did not confirm" in error_of(urls, "broker"), 30)
        assert cursor_of(urls, "broker") == 0
    finally:
        await asyncio.to_thread(node.control, "set_vm_memory_high_watermark", "absolute", "400MB")
    assert await child.wait(90) == 0
    positions = await campaign.received(node.url, queue)
    assert campaign.broker_faults(positions, 300) == []


def cursor_of(urls: Urls, sink: str) -> int:
    with psycopg.connect(urls.owner) as connection:
        row = connection.execute("SELECT position FROM sinks WHERE name = %s", [sink]).fetchone()
    return row[0] if row else 0


def error_of(urls: Urls, sink: str) -> str:
    with psycopg.connect(urls.owner) as connection:
        row = connection.execute("SELECT last_error FROM sinks WHERE name = %s", [sink]).fetchone()
    return str(row[0]) if row else ""


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_the_lake_survives_a_long_campaign(nursery: Nursery, urls: Urls, tmp_path: Path) -> None:
    """Each step is hit three times, at random passages, while events keep coming."""
    lake = str(tmp_path / "lake")
    numbers = random.Random(SEED)
    await two_days(urls, 400)
    steps = [step for step in LAKE_STEPS for _ in range(3)]
    numbers.shuffle(steps)
    kills, version = 0, 801
    for step in steps:
        fault = f"lake.{step}:{numbers.randint(1, 3)}"
        kills += await nursery.run("lake", fault=fault, url=urls.login, lake=lake, batch=150) == KILLED
        write_rounds(urls.owner, 40, first=version)
        version += 40
        await sequence_all(urls.login)
    assert await nursery.run("lake", url=urls.login, lake=lake) == 0
    assert kills >= 15
    assert campaign.lake_faults(urls.owner, lake) == []
    assert (await campaign.audit_of(urls.login, lake)).differences == []


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_rabbitmq_survives_a_long_campaign(nursery: Nursery, urls: Urls, node: Node) -> None:
    """Fifteen kills of the relay and two of the broker."""
    exchange = f"test.{uuid4().hex}"
    queue = await bound_queue(node.url, exchange)
    await asyncio.to_thread(node.settle)
    write_rounds(urls.owner, 800)
    await sequence_all(urls.login)
    config = {"url": urls.login, "rabbitmq": node.url, "exchange": exchange}
    kills = 0
    for number, step in enumerate(BROKER_STEPS * 3):
        kills += await nursery.run("broker", fault=f"broker.{step}:{2 + number % 3}", **config) == KILLED
        if number in {4, 9}:
            node.kill()
            await asyncio.to_thread(node.start)
    assert await nursery.run("broker", **config) == 0
    assert kills >= 12
    positions = await campaign.received(node.url, queue)
    assert campaign.broker_faults(positions, 8000) == []


@pytest.mark.chaos
async def test_a_lake_on_a_full_disk_heals_when_there_is_room(nursery: Nursery, urls: Urls, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        ballast = disk / "ballast"
        fill(ballast)
        write_rounds(urls.owner, 40)
        await sequence_all(urls.login)
        child = await nursery.start("lake", url=urls.login, lake=str(disk / "lake"))
        await until(lambda: "No space left" in error_of(urls, "lake"), 20)
        assert cursor_of(urls, "lake") == 0
        assert Lake(str(disk / "lake")).files() == []
        ballast.unlink()
        assert await child.wait(60) == 0
        assert campaign.lake_faults(urls.owner, str(disk / "lake")) == []
