"""The front door: limits, deadlines, hosts, request ids, and the last net."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from api.app import create_app
from api.middleware import FrontDoor, Limits
from api.services import Services
from tests.api.conftest import BASE_URL
from tests.api.serving import served
from tests.api.test_bodies import says_what_to_do

LIMITS = Limits(body_bytes=1000, hosts=frozenset({"127.0.0.1", "*.example.org", "[::1]"}))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body and say how long it was."""
    length = 0
    while True:
        message: Message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(length).encode()})


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A tiny application behind the door, on a real socket."""
    async with served(FrontDoor(echo, LIMITS)) as url:
        yield url


async def test_a_body_up_to_the_limit_passes(address: str) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.post(address, content=b"x" * 1000)).text == "1000"


async def test_a_body_over_the_limit_is_refused_however_it_is_sent(address: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield b"x" * 1_000_000

    async with httpx.AsyncClient() as client:
        for content in (b"x" * 1001, b"x" * 60_000_000, pieces()):
            answer = await client.post(address, content=content)
            assert answer.status_code == 413
            assert "1000 bytes" in says_what_to_do(answer)["detail"]


async def test_a_dripping_body_is_cut_off() -> None:
    async with served(FrontDoor(echo, replace(LIMITS, body_seconds=0.2))) as address:
        host, port = address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nabc")
        head = await asyncio.wait_for(reader.read(300), 5)
        assert head.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in head.lower()
        await asyncio.wait_for(reader.read(), 5)  # the server hangs up
        writer.close()


async def test_a_client_that_asks_first_gets_its_refusal_first(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(300), 3)).startswith(b"HTTP/1.1 413")
    writer.close()


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
async def test_compressed_bodies_are_refused(address: str, encoding: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(address, content=b"x", headers={"Content-Encoding": encoding})
    assert answer.status_code == 415
    assert "uncompressed" in says_what_to_do(answer)["detail"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:80", 200),
        ("a.example.org", 200),
        ("[::1]:8000", 200),
        ("example.org.evil.net", 400),
        ("evil.net", 400),
        ("127.0.0.1.evil.net", 400),
        ("evil.net/?x=127.0.0.1", 400),
        ("evil.net#127.0.0.1", 400),
        ("127.0.0.1@evil.net", 400),
        ("[::1].evil.net", 400),
        ("127.0.0.1:80@evil.net", 400),
        ("", 400),
    ],
)
async def test_only_known_hosts_are_served(address: str, host: str, status: int) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(address, headers={"Host": host})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("host", "status"), [("goals.example.org", 200), ("127.0.0.1:8000", 200), ("LOCALHOST", 200), ("evil.net", 400)]
)
async def test_named_hosts_are_served_besides_localhost(services: Services, host: str, status: int) -> None:
    app = create_app(services.settings.model_copy(update={"allowed_hosts": ("Goals.example.org",)}), services=services)
    app.state.services = services
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL) as client:
        assert (await client.get("/healthz", headers={"Host": host})).status_code == status


async def test_a_request_id_is_kept_if_it_is_harmless(address: str) -> None:
    async with httpx.AsyncClient() as client:
        kept = await client.get(address, headers={"X-Request-ID": "my-id_1.2:3"})
        replaced = await client.get(address, headers={"X-Request-ID": "a b"})
        made = await client.get(address)
    assert kept.headers["x-request-id"] == "my-id_1.2:3"
    assert len(replaced.headers["x-request-id"]) == len(made.headers["x-request-id"]) == 36
    assert made.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("secret-text"), 500),
        (psycopg.OperationalError("secret-text"), 503),
        (ConnectionResetError("secret-text"), 503),
        (RecursionError("secret-text"), 500),
    ],
)
async def test_unforeseen_errors_become_safe_answers(
    error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    with caplog.at_level(logging.CRITICAL):
        transport = httpx.ASGITransport(FrontDoor(broken, Limits()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get("/")
    assert answer.status_code == status
    assert "secret-text" not in answer.text
    says_what_to_do(answer)


async def test_half_an_answer_is_not_passed_off_as_a_whole_one() -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("in the middle")

    transport = httpx.ASGITransport(FrontDoor(breaks_off, Limits()))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with pytest.raises(RuntimeError, match="in the middle"):
            await client.get("/")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("https://smith.langchain.com", True),
        ("https://evil.example", False),
        ("null", False),
    ],
)
async def test_browsers_may_ask_from_known_origins_only(app: FastAPI, origin: str, allowed: bool) -> None:
    transport = httpx.ASGITransport(app)
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization, if-match",
        "Access-Control-Request-Private-Network": "true",
    }
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        preflight = await client.options("/goals", headers=headers)
        plain = await client.get("/healthz", headers={"Origin": origin})
    assert (preflight.headers.get("access-control-allow-origin") == origin) is allowed
    assert preflight.is_success is allowed
    if allowed:
        assert preflight.headers["access-control-allow-private-network"] == "true"
        assert "ETag" in plain.headers["access-control-expose-headers"]
