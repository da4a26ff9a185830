"""The listening socket: a port in use is told, and a reader who does not read costs little and is let go."""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Callable

import psutil
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api import streaming
from api.cli import listening
from api.cli.console import Trouble
from api.cli.listening import listen
from api.settings import Settings
from api.streaming import EventStream
from tests.rabbitmq import free_port

PIECE = b"x" * 65_536


@pytest.fixture
def settings() -> Settings:
    return Settings(host="127.0.0.1", port=free_port())


def test_a_port_in_use_is_named(settings: Settings) -> None:
    with listen(settings) as first:
        first.listen()
        with pytest.raises(Trouble, match=f"127.0.0.1:{settings.port}"):
            listen(settings)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nobody announces these
        await asyncio.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no limit for data that nobody takes")
async def test_a_reader_who_never_reads_holds_little_and_is_cut_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streaming, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(listening, "UNREAD_SECONDS", 1)
    taken = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal taken
        while True:
            taken += len(PIECE)
            yield PIECE

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await EventStream(endless())(scope, receive, send)

    def held() -> bool:
        return any(
            c.laddr[1] == settings.port and c.status != "LISTEN" for c in psutil.Process().net_connections("tcp")
        )

    with listen(settings) as door, socket.socket() as reader, caplog.at_level("INFO"):
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[door]))
        await until(lambda: server.started)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        await asyncio.get_running_loop().sock_connect(reader, ("127.0.0.1", settings.port))
        await asyncio.get_running_loop().sock_sendall(reader, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        async with asyncio.timeout(20):
            await until(lambda: "took nothing" in caplog.text)
            await until(lambda: not held())
        server.should_exit = True
        await serving
    assert taken <= 16 * len(PIECE)
