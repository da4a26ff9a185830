"""The front door: request ids, body limits and deadlines, host check, and the last net for unforeseen errors."""

import asyncio
import logging
import re
from collections.abc import Collection
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem, as_problem, problem_response
from store.types import new_id

logger = logging.getLogger(__name__)

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served, for logs."""

_ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_DRAIN_LIMIT = 128 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What one request may cost before anybody has looked at it."""

    body_bytes: int = 1024 * 1024
    body_seconds: float = 10.0
    hosts: frozenset[str] = frozenset({"*"})
    """Names the service answers to; `*` accepts any, `*.example.org` a whole domain."""


class _Head(NamedTuple):
    """The few headers the door decides by."""

    request_id: bytes | None
    host: bytes
    length: int
    has_body: bool
    encoding: bytes
    waits: bool
    """The client sent `Expect: 100-continue` and holds its body back."""


class FrontDoor:
    """Outermost middleware; after it every answer is a problem body or what a route meant to send."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; lifespan messages pass untouched."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                head = _read_head(scope)
                _name_request(scope, head.request_id)
                if not self._knows(head.host):
                    await send({"type": "websocket.close", "code": 1008, "reason": "Unknown host."})
                    return
            await self.app(scope, receive, send)
            return
        head = _read_head(scope)
        request_id = _name_request(scope, head.request_id)
        answer = _Answer(send, request_id)
        try:
            refusal = self._refusal(head)
            if refusal is not None:
                if head.has_body and not head.waits:
                    await _drain(receive, self.limits.body_seconds)
                raise refusal
            guarded = _BodyGuard(receive, self.limits, head.waits).receive if head.has_body else receive
            await self.app(scope, guarded, answer.send)
        except Exception as error:
            if answer.started:
                # Half an answer cannot be taken back; the server closes the connection so the client notices.
                raise
            problem = as_problem(error)
            if problem.code == "internal_error":
                logger.error("request %s failed", request_id, exc_info=error)
            await problem_response(problem, request_id)(scope, receive, answer.send)

    def _refusal(self, head: _Head) -> Problem | None:
        if not self._knows(head.host):
            return Problem(400, "unknown_host", "The Host header names a host this service does not answer for.")
        if head.encoding not in (b"", b"identity"):
            headers = {"Accept-Encoding": "identity", "Connection": "close"}
            detail = "Send the body uncompressed: Content-Encoding is not accepted here."
            return Problem(415, "unsupported_encoding", detail, headers=headers)
        if head.length > self.limits.body_bytes:
            return _too_large(self.limits.body_bytes)
        return None

    def _knows(self, host: bytes) -> bool:
        hosts = self.limits.hosts
        if "*" in hosts:
            return True
        named = _HOST.fullmatch(host.lower())
        if named is None:
            return False
        name = named[1].decode("ascii")
        return name in hosts or any(name.endswith(pattern[1:]) for pattern in hosts if pattern.startswith("*."))


class _Answer:
    """Adds the request id to an answer and remembers whether it has begun."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode("latin-1")
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = [*message.get("headers", ())]
            headers.append((b"x-request-id", self._request_id))
            headers.append((b"x-content-type-options", b"nosniff"))
            message["headers"] = headers
        await self._send(message)


class _BodyGuard:
    """Counts and times a body while it arrives, so neither a liar about Content-Length nor a dripper gets far."""

    def __init__(self, receive: Receive, limits: Limits, waits: bool) -> None:
        self._receive = receive
        self._limits = limits
        self._waits = waits
        self._deadline = asyncio.get_running_loop().time() + limits.body_seconds
        self._seen = 0
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            detail = f"The body did not arrive within {self._limits.body_seconds:g} seconds; send it again."
            raise Problem(408, "body_timeout", detail, headers={"Connection": "close"}) from None
        if message["type"] != "http.request":
            return message
        self._seen += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._seen > self._limits.body_bytes:
            if not self._complete:
                await _drain(self._receive, self._deadline - asyncio.get_running_loop().time())
            raise _too_large(self._limits.body_bytes)
        return message


def _too_large(limit: int) -> Problem:
    detail = f"The body is larger than {limit} bytes; send less, or split it."
    return Problem(413, "body_too_large", detail, headers={"Connection": "close"})


async def _drain(receive: Receive, seconds: float) -> None:
    """Throw away what a client is still sending: most only read our answer once they have said everything."""
    seen = 0
    try:
        async with asyncio.timeout(max(seconds, 0)):
            while seen < _DRAIN_LIMIT:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                seen += len(message.get("body", b""))
    except TimeoutError:
        return


def _read_head(scope: Scope) -> _Head:
    request_id, host, length, chunked, encoding, waits = None, b"", 0, False, b"", False
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
        elif name == b"x-request-id":
            request_id = value
        elif name == b"content-length":
            length = int(value) if value.isdigit() else 0
        elif name == b"transfer-encoding":
            chunked = True
        elif name == b"content-encoding":
            encoding = value.strip().lower()
        elif name == b"expect":
            waits = True
    return _Head(request_id, host, length, chunked or length > 0, encoding, waits)


def _name_request(scope: Scope, given: bytes | None) -> str:
    acceptable = given is not None and _ACCEPTABLE_ID.fullmatch(given)
    request_id = given.decode("ascii") if given is not None and acceptable else str(new_id())
    scope.setdefault("state", {})["request_id"] = request_id
    REQUEST_ID.set(request_id)
    return request_id


def correlation_of(scope: Scope) -> UUID:
    """The id that ties a request's events together: its request id where that is a UUID."""
    try:
        return UUID(scope["state"]["request_id"])
    except (KeyError, ValueError):
        return new_id()


EXPOSED_HEADERS: Collection[str] = (
    "Content-Location",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Pagination-Next",
    "X-Pagination-Total",
    "X-Request-ID",
)
