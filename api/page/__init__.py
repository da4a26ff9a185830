"""The page: one static document with its scripts and styles, served under a strict content security policy."""

from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.errors import Problem

router = APIRouter(include_in_schema=False)

_KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
          "svg": "image/svg+xml"}  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class _Asset(NamedTuple):
    content: bytes
    kind: str
    tag: str


@lru_cache
def _asset(name: str) -> _Asset:
    kind = _KINDS.get(name.rpartition(".")[2])
    place = files("api.page") / "static" / name
    if kind is None or "/" in name or name.startswith(".") or not place.is_file():
        raise Problem(404, "not_found", "There is no such file on this page.")
    content = place.read_bytes()
    return _Asset(content, kind, f'"{sha256(content).hexdigest()[:16]}"')


def _answer(request: Request, name: str) -> Response:
    asset = _asset(name)
    headers = {**_HEADERS, "ETag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.kind, headers=headers)


@router.get("/")
async def page(request: Request) -> Response:
    """The document itself; it signs in with the token of a sign-in link, or with a password."""
    return _answer(request, "index.html")


@router.get("/page/{name}")
async def asset(request: Request, name: str) -> Response:
    """Its scripts, styles and icon."""
    return _answer(request, name)
