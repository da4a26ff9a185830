"""Processes of the event path to be killed: one nursery that has imported everything forks them on demand."""

import asyncio
import json
import os
import resource
import select
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection

from api.worker import EventPathConfig, event_path
from store import background, cursors, goals, relay
from store.background import service_session
from store.broker import Broker
from store.cursors import Cursor
from store.database import Database
from store.erasure import erase_user
from store.errors import Unavailable
from store.faults import fault
from store.goals import NewGoal
from store.lake import Lake
from store.principal import Principal
from store.relay import BatchPolicy, Relay, Sink
from store.retention import prune
from store.sequencer import Sequencer
from store.types import Role
from store.wakeups import COMMITTED, Bell, Wakeups

BATCH = 100


async def carry(config: dict[str, Any], sink: Sink, policy: BatchPolicy) -> None:
    """Relay until the sink has everything."""
    worker = Relay(config["url"], sink, Bell(), policy=policy)
    running = asyncio.create_task(worker.run())
    async with service_session(config["url"]) as connection:
        await cursors.register(connection, sink.name)
        upto = config.get("upto", 0)
        # The cursor lies in the database, so it can only be looked at again and again.
        while (at := await cursors.read(connection, sink.name)).waiting or at.position < upto:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    worker.stop()
    await running


async def sequence(config: dict[str, Any]) -> None:
    """Sequence until killed."""
    async with Wakeups(config["url"]) as wakeups:
        with wakeups.bell(COMMITTED) as bell:
            await Sequencer(config["url"], wakeups, bell).run()


async def write(config: dict[str, Any]) -> None:
    """Write goals until killed, each in a transaction of two statements; note what was acknowledged."""
    writer = Principal(config["user"], Role.LEARNER)
    async with Database(config["url"], max_size=2, pool_timeout=1) as database:
        while True:
            try:
                async with database.transaction(writer) as tx:
                    goal = await goals.create(tx, NewGoal(title="made"))
                    fault("writer.between_statements")
                    await goals.update(tx, goal.id, {"title": "renamed"})
                    fault("writer.before_commit")
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                acknowledge(Path(config["acknowledged"]), str(goal.id))


def acknowledge(noted: Path, identity: str) -> None:
    with noted.open("a") as file:
        file.write(f"{identity}\n")


async def erase(config: dict[str, Any]) -> None:
    """Erase a user while sequencer and lake run, as in the service."""
    async with (
        Database(config["url"], max_size=4) as database,
        event_path(EventPathConfig(config["lake"]), database),
    ):
        await erase_user(database, Lake(config["lake"]), "ada")


def plant(mutants: list[str]) -> None:
    """Break rules on purpose, to see the checks catch it."""
    if "cursor_first" in mutants:
        deliver, advance = Lake.deliver, cursors.advance

        async def late(self: Lake, events: Any) -> None:
            async with service_session(_url) as connection:
                at = await cursors.read(connection, self.name)
                await advance(connection, at, events[-1].position)
            await deliver(self, events)

        Lake.deliver = late
        cursors.advance = _nothing
    if "no_borders" in mutants:
        cursors.fix_border = _nothing
    if "no_fencing" in mutants:
        cursors.advance = _unfenced
        cursors.fix_border = _unfenced_border
    if "no_election" in mutants:
        Relay._lead = _always  # pyright: ignore[reportPrivateUsage]


async def _always(self: Relay, connection: AsyncConnection) -> bool:
    return True


_url = ""


def _soon(failures: int) -> float:
    return 0.2


async def _nothing(connection: AsyncConnection, at: Cursor, to: int) -> None:
    """Move no cursor."""


async def _unfenced(connection: AsyncConnection, at: Cursor, to: int) -> None:
    await connection.execute("UPDATE sinks SET position = %s, pending_end = NULL WHERE name = %s", [to, at.name])


async def _unfenced_border(connection: AsyncConnection, at: Cursor, end: int) -> None:
    await connection.execute("UPDATE sinks SET pending_end = %s WHERE name = %s", [end, at.name])


async def main(config: dict[str, Any]) -> None:
    """Play the role the campaign asks for."""
    global _url  # noqa: PLW0603 - one process, one role
    _url = config["url"]
    plant(config.get("mutants", []))
    background.STANDBY_SECONDS = 0.05
    relay.POLL_SECONDS = 0.05
    relay.backoff = _soon
    if "file_size" in config:
        resource.setrlimit(resource.RLIMIT_FSIZE, (config["file_size"], config["file_size"]))
    match config["role"]:
        case "lake":
            sizes = BatchPolicy(max_events=config.get("batch", BATCH), fixed_borders=True, parks=False)
            await carry(config, Lake(config["lake"]), sizes)
        case "broker":
            broker = Broker(config["rabbitmq"], exchange=config["exchange"], confirm_seconds=config.get("confirm", 10))
            await carry(config, broker, BatchPolicy(max_events=BATCH))
            await broker.close()
        case "sequencer":
            await sequence(config)
        case "writer":
            await write(config)
        case "path":
            async with (
                Database(config["url"], max_size=4) as database,
                event_path(EventPathConfig(config["lake"]), database),
            ):
                Path(config["ready"]).touch()
                await asyncio.Event().wait()
        case "prune":
            async with Database(config["url"], max_size=2) as database:
                await prune(database, Lake(config["lake"]), before=datetime.now(UTC) + timedelta(days=9), chunk=40)
        case "erase":
            await erase(config)
        case role:
            raise ValueError(role)


def child(job: dict[str, Any]) -> int:
    """Play one role in a process of its own; return its exit code."""
    os.environ.pop("GOALS_FAULT", None)
    if job.get("fault"):
        os.environ["GOALS_FAULT"] = job["fault"]
    try:
        asyncio.run(main(job))
    except BaseException:  # noqa: BLE001 - the nursery's log is the only place where it can be seen
        traceback.print_exc()
        return 1
    return 0


def nursery() -> None:
    """Fork a child per line of stdin; tell `started <number> <pid>` and `ended <number> <code>`."""
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], 0.02)
        line = sys.stdin.readline() if ready else None
        if line == "":
            return
        if line:
            job = json.loads(line)
            pid = os.fork()
            if pid == 0:
                code = child(job)
                sys.stderr.flush()
                os._exit(code)
            running[pid] = job["number"]
            tell("started", job["number"], pid)
        for pid in list(running):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                tell("ended", running.pop(pid), os.waitstatus_to_exitcode(status))


def tell(what: str, number: int, value: int) -> None:
    sys.stdout.write(f"{what} {number} {value}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    nursery()
