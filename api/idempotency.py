"""Carries a POST out once per Idempotency-Key: the answer is stored in the transaction of the write itself."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import origin_of, services_of
from api.errors import Problem
from store import idempotency
from store.database import Transaction
from store.idempotency import Answer
from store.principal import Principal

IDEMPOTENT: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "description": "A random text of your own. Repeating the request with it repeats the answer, not the deed.",
        }
    ]
}
"""`openapi_extra` of a route that honours Idempotency-Key."""

_KEY = re.compile(r"[!-~]{1,255}")
_KEPT_HEADERS = ("etag", "location", "content-type", "cache-control")


async def once(
    request: Request,
    caller: Principal,
    work: Callable[[Transaction], Awaitable[Response]],
    *,
    owner: str | None = None,
    content: bytes | None = None,
) -> Response:
    """Run `work` in a transaction of the caller's, or repeat the answer it gave before.

    `content` is what makes the request the same one, if not its whole body: a digest of it is kept for a day, and a
    password must not be found in one.
    Raises `StillRunning` (409) while the same key is being worked on, `KeyReused` (422) if it meant something else.
    Only answers of successful work are kept: a refusal may turn into success when it is asked again.
    """
    key = request.headers.get("idempotency-key")
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        if key is None:
            return await work(tx)
        if not _KEY.fullmatch(key):
            raise Problem(422, "invalid_key", "Idempotency-Key must be 1 to 255 visible ASCII characters.")
        owner = owner or caller.user_id
        digest = _digest(request, await request.body() if content is None else content)
        kept = await idempotency.claim(tx, owner, key, digest)
        if kept is not None:
            return Response(kept.body, kept.status, headers={**kept.headers, "Idempotency-Replayed": "true"})
        response = await work(tx)
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        answer = Answer(response.status_code, headers, bytes(response.body))
        await idempotency.keep(tx, owner, key, digest, answer)
        return response


def _digest(request: Request, content: bytes) -> bytes:
    target = f"{request.method} {request.scope['path']}?{request.scope['query_string'].decode('latin-1')}\n"
    return hashlib.sha256(target.encode() + content).digest()
