"""What routes ask for: the caller, the services, where a change comes from."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from api.bodies import StrictRoute
from api.direct import handler_of
from api.errors import Problem
from api.middleware import correlation_of
from api.services import Services
from store.principal import Origin, Principal
from store.reading import Reader
from store.types import Role

# Dependencies are `async def` even where nothing is awaited: FastAPI runs plain functions in a thread, at 50 us a call.


def services_of(connection: HTTPConnection) -> Services:
    """The services of the running application."""
    return connection.app.state.services


async def _services(connection: HTTPConnection) -> Services:
    return services_of(connection)


def presented_token(connection: HTTPConnection) -> str | None:
    """The token a request carries as `Authorization: Bearer` or `X-Api-Key`; never from the query string."""
    api_key = None
    for name, value in connection.scope["headers"]:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                return value[7:].strip().decode("latin-1")
        elif name == b"x-api-key":
            api_key = value.strip().decode("latin-1")
    return api_key or None


async def current_caller(connection: HTTPConnection) -> Principal:
    """The verified identity of the caller; raises Problem 401 without one.

    Leaves `dismissed` in the scope for what stays open: it returns once the caller's account is closed.
    """
    token = presented_token(connection)
    if token is None:
        raise Problem(
            401,
            "unauthenticated",
            "Send an access token as `Authorization: Bearer <token>`; POST /auth/token hands one out.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    tokens = services_of(connection).tokens
    caller = await tokens.verify(token)
    connection.scope["dismissed"] = partial(tokens.dismissed, caller.user_id)
    return caller


async def optional_caller(connection: HTTPConnection) -> Principal | None:
    """The caller, or None without a token; a bad token is still refused."""
    return None if presented_token(connection) is None else await current_caller(connection)


class SecuredRoute(StrictRoute):
    """A route that knows its caller before it reads a single byte of the body, and before anything else can fail.

    It is public only where its own documentation says so (`openapi_extra=PUBLIC`), so the two cannot drift apart.
    A dependency would do the same 30 us slower; the handler asks `caller_of`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the check in front of the handler."""
        handler = handler_of(self) or super().get_route_handler()
        security = (self.openapi_extra or {}).get("security")
        if security == []:
            return handler
        identify = optional_caller if security is not None and {} in security else current_caller

        async def secured(request: Request) -> Response:
            request.scope["caller"] = await identify(request)
            return await handler(request)

        return secured


def caller_of(request: Request) -> Principal:
    """The caller of a `SecuredRoute`."""
    return request.scope["caller"]


def reader_of(request: Request) -> Reader:
    """What a `SecuredRoute` reads through: a statement at a time, as its caller."""
    return services_of(request).database.reader(caller_of(request))


def caller_if_any(request: Request) -> Principal | None:
    """The caller of a `SecuredRoute` that also serves strangers."""
    return request.scope["caller"]


def require(*roles: Role) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that lets only these roles pass; raises Problem 403 for others."""

    async def caller_with_role(caller: Caller) -> Principal:
        if caller.role not in roles:
            needed = " or ".join(roles)
            raise Problem(403, "forbidden", f"This needs the role {needed}; yours is {caller.role}.")
        return caller

    return caller_with_role


async def request_origin(connection: HTTPConnection) -> Origin:
    """Where the changes of this request come from: its id ties their events together."""
    return origin_of(connection)


def origin_of(connection: HTTPConnection, *, command_key: str | None = None) -> Origin:
    """The same as `request_origin`, for code that has the request already."""
    return Origin(correlation_id=correlation_of(connection.scope), command_key=command_key, channel="api")


ServicesDep = Annotated[Services, Depends(_services)]
Caller = Annotated[Principal, Depends(current_caller)]
OptionalCaller = Annotated[Principal | None, Depends(optional_caller)]
Instructor = Annotated[Principal, Depends(require(Role.INSTRUCTOR, Role.ADMIN))]
Admin = Annotated[Principal, Depends(require(Role.ADMIN))]
OriginDep = Annotated[Origin, Depends(request_origin)]
