"""A closed account is closed in every process: requests are refused, and what is open for it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import NamedTuple
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.app import create_app
from api.auth.closed import closed_accounts_refused
from api.errors import Problem
from api.services import Services, assembled, open_tokens
from api.settings import Settings
from graphs.opening import Offline
from store import users
from store.database import Database
from store.principal import SERVICE, Principal
from store.users import NewUser
from store.wakeups import Wakeups
from tests.api.serving import served
from tests.postgres import Urls

SOON = 3.0
"""Said to take about a second; the machine may be busy."""


class Process(NamedTuple):
    """All that a process of the service has, on a port of its own."""

    services: Services
    client: httpx.AsyncClient
    url: str


@pytest.fixture
async def processes(urls: Urls, settings: Settings, learner: Principal) -> AsyncIterator[tuple[Process, Process]]:
    """Two of them on one database, with an account for Ada; both clients carry her token."""
    async with AsyncExitStack() as stack:
        made: list[Process] = []
        for _ in range(2):
            database = await stack.enter_async_context(Database(urls.login, max_size=4))
            services = await stack.enter_async_context(
                assembled(settings, database, offline=Offline.HASH, relaying=False)
            )
            app = create_app(settings, services=services)
            app.state.services = services
            url = await stack.enter_async_context(served(app))
            token = services.tokens.issue(learner).access_token
            headers = {"Authorization": f"Bearer {token}"}
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers))
            made.append(Process(services, client, url))
        here, there = made
        await _account(here.services.database, learner)
        yield here, there


async def _account(database: Database, who: Principal) -> None:
    async with database.transaction(SERVICE) as tx:
        await users.create(tx, NewUser(id=who.user_id, email=f"{who.user_id}@example.org", name="A"))


async def test_another_process_refuses_its_tokens_too(processes: tuple[Process, Process]) -> None:
    here, there = processes
    assert (await there.client.get("/goals")).status_code == 200
    assert (await here.client.post("/users/ada/deactivate")).status_code == 200
    async with asyncio.timeout(SOON):
        await there.services.tokens.dismissed("ada")
    assert (await there.client.get("/goals")).status_code == 401
    assert (await there.client.post("/threads", json={})).status_code == 401


async def test_streams_and_sockets_open_elsewhere_end(processes: tuple[Process, Process], learner: Principal) -> None:
    here, there = processes
    body = {"channels": ["lifecycle"]}
    token = there.services.tokens.issue(learner).access_token
    async with (
        there.client.stream("POST", f"/threads/{uuid4()}/stream/events", json=body) as stream,
        connect(there.url.replace("http", "ws") + "/ws") as socket,
    ):
        await socket.send(json.dumps({"type": "auth", "token": token}))
        assert json.loads(await socket.recv())["type"] == "welcome"
        assert (await here.client.post("/users/ada/deactivate")).status_code == 200
        async with asyncio.timeout(SOON):
            said = [line async for line in stream.aiter_lines()]
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await socket.recv()
    assert ": this account was closed" in said
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


async def test_a_lost_notification_costs_a_second(
    database: Database, urls: Urls, settings: Settings, learner: Principal
) -> None:
    tokens = open_tokens(settings)
    token = tokens.issue(learner).access_token
    await _account(database, learner)
    deaf = Wakeups(urls.login)  # never entered, so it never listens
    async with closed_accounts_refused(database, deaf, tokens):
        await tokens.verify(token)
        async with database.transaction(learner) as tx:
            await users.deactivate(tx, learner.user_id)
            await asyncio.sleep(1.5)  # written, not yet committed: a look in between must not be the last one
        async with asyncio.timeout(SOON):
            await tokens.dismissed(learner.user_id)
    with pytest.raises(Problem):
        await tokens.verify(token)


async def test_a_process_that_starts_later_knows(
    database: Database, urls: Urls, settings: Settings, learner: Principal, other_learner: Principal
) -> None:
    await _account(database, learner)
    async with database.transaction(learner) as tx:
        await users.deactivate(tx, learner.user_id)
    tokens = open_tokens(settings)
    async with closed_accounts_refused(database, Wakeups(urls.login), tokens):
        with pytest.raises(Problem):
            await tokens.verify(tokens.issue(learner).access_token)
        await tokens.verify(tokens.issue(other_learner).access_token)
