"""The five user endpoints."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from api import answers
from api.dependencies import SecuredRoute, caller_if_any, caller_of, origin_of, reader_of, services_of
from api.errors import Problem
from api.idempotency import IDEMPOTENT, once
from api.openapi import problems
from api.schemas.common import PathId
from api.schemas.users import User, UserCreate, UserUpdate
from store import credentials, users
from store.database import Transaction
from store.principal import SERVICE, Principal
from store.types import Role
from store.users import NewUser

router = APIRouter(prefix="/users", tags=["users"], route_class=SecuredRoute)

REGISTRATIONS = 200
"""Accounts one address may open within the window, so that a script cannot keep the hashing threads busy."""
REGISTRATION_WINDOW = timedelta(minutes=15)


@router.post(
    "",
    status_code=201,
    response_model=User,
    summary="Register",
    responses=problems(401, 403, 409, 429),
    openapi_extra={**IDEMPOTENT, "security": [{}, {"bearer": []}, {"apiKey": []}, {"password": []}]},
)
async def create_user(request: Request, body: UserCreate) -> Response:
    """Open an account. Without a token you register yourself as a learner; an admin registers anybody.

    With a token of an external issuer the account gets the identity that the token names.
    """
    caller = caller_if_any(request)
    _check_may_register(request, body, caller)
    address = client_address(request)
    await _count(request, address)
    hashed = await services_of(request).passwords.hash(body.password) if body.password is not None else None

    async def work(tx: Transaction) -> Response:
        user = await users.create(
            tx,
            NewUser(
                email=body.email,
                name=body.name,
                role=Role(body.role),
                locale=body.locale,
                preferences=body.preferences,
                id=await _identity(tx, caller),
            ),
        )
        if hashed is not None:
            await credentials.put(tx, user.id, hashed)
        return answers.entity(user, 201, location=f"/users/{user.id}")

    # Nobody is signed in before they have an account, so the service writes it; keys are kept apart by address.
    owner = f"registration:{caller.user_id if caller else address}"
    content = body.model_dump_json(exclude={"password"}).encode()
    return await once(request, SERVICE, work, owner=owner, content=content)


@router.get("/email/{email}", response_model=User, summary="Find a user by email", openapi_extra=answers.CACHED)
async def read_user_by_email(
    request: Request, email: Annotated[str, Path(max_length=254, pattern=r"^[^\x00-\x1f\x7f]+$")]
) -> Response:
    """Yourself, or anybody if you are an admin; everybody else is not found."""
    user = await users.get_by_email(reader_of(request), email)
    return answers.entity_or_unchanged(request, user)


@router.get("/{user_id}", response_model=User, summary="Read a user", openapi_extra=answers.CACHED)
async def read_user(request: Request, user_id: PathId) -> Response:
    """Yourself, or anybody if you are an admin; everybody else is not found."""
    user = await users.get(reader_of(request), user_id)
    return answers.entity_or_unchanged(request, user)


@router.put(
    "/{user_id}",
    response_model=User,
    summary="Change a user",
    responses=problems(403, 409),
    openapi_extra=answers.GUARDED,
)
async def update_user(request: Request, user_id: PathId, body: UserUpdate) -> Response:
    """Change yourself, or anybody as an admin; only an admin changes roles."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    async with services_of(request).database.transaction(caller, origin_of(request)) as tx:
        user = await users.update(tx, user_id, body.given(), expected_version=expected)
    return answers.entity(user)


@router.post(
    "/{user_id}/deactivate",
    response_model=User,
    summary="Close an account",
    responses=problems(409),
    openapi_extra=answers.GUARDED,
)
async def deactivate_user(request: Request, user_id: PathId) -> Response:
    """Close your own account, or anybody's as an admin. Its tokens stop working; its data stays."""
    caller = caller_of(request)
    expected = answers.expected_version(request)
    services = services_of(request)
    async with services.database.transaction(caller, origin_of(request)) as tx:
        user = await users.deactivate(tx, user_id, expected_version=expected)
    await services.sign_ins.end(user_id)
    return answers.entity(user)


def client_address(request: Request) -> str:
    """The address a request came from; behind a proxy, uvicorn has put the real one here."""
    return request.client.host if request.client is not None else "local"


def _check_may_register(request: Request, body: UserCreate, caller: Principal | None) -> None:
    if caller is not None and caller.role is Role.ADMIN:
        return
    if not services_of(request).settings.open_registration:
        raise Problem(403, "forbidden", "Registration is closed here; ask an admin for an account.")
    if body.role != Role.LEARNER:
        raise Problem(403, "forbidden", "Only an admin gives the role instructor or admin; register as learner.")


async def _count(request: Request, address: str) -> None:
    async with services_of(request).database.transaction(SERVICE) as tx:
        bucket = f"register:{address}"
        blocked = await credentials.count_attempt(tx, bucket, allowed=REGISTRATIONS, window=REGISTRATION_WINDOW)
    if blocked is not None:
        detail = f"Too many accounts were opened from this address. Wait {blocked.seconds} seconds."
        raise Problem(429, "too_many_attempts", detail, headers={"Retry-After": str(blocked.seconds)})


async def _identity(tx: Transaction, caller: Principal | None) -> str | None:
    """The id of the new account: the caller's own, if their token is valid and no account has it yet."""
    if caller is None or caller.role is Role.ADMIN:
        return None
    known = await credentials.find_by_id(tx, caller.user_id)
    return caller.user_id if known is None else None
