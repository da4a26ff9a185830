"""Signing in and out: the OAuth2 password flow, refresh with rotation, one-time links, and our public keys."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from api import answers
from api.auth.sign_in import TokenPair as Pair
from api.dependencies import SecuredRoute, caller_of, services_of
from api.openapi import PUBLIC, problems
from api.routes.users import client_address
from api.schemas.identity import PasswordChange, RefreshToken, SignInLink, TokenPair

router = APIRouter(tags=["identity"], route_class=SecuredRoute)

Secret = Annotated[str, Form(min_length=1, max_length=512)]
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@router.post(
    "/auth/token",
    response_model=TokenPair,
    summary="Sign in with a password",
    responses=problems(401, 429),
    openapi_extra=PUBLIC,
)
async def sign_in(
    request: Request,
    username: Annotated[str, Form(min_length=1, max_length=254, description="The email address.")],
    password: Annotated[str, Form(min_length=1, max_length=128)],
    grant_type: Annotated[Literal["password"] | None, Form()] = None,
    scope: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """The OAuth2 password flow. Ten wrong guesses close an account to guessing for a quarter of an hour."""
    del grant_type, scope  # part of the flow, but without a choice to make
    return _pair(await services_of(request).sign_ins.by_password(username, password, client_address(request)))


@router.post(
    "/auth/refresh",
    response_model=TokenPair,
    summary="Trade a refresh token for a new pair",
    responses=problems(401),
    openapi_extra=PUBLIC,
)
async def refresh(request: Request, body: RefreshToken) -> Response:
    """Each refresh token works once; a second use ends the session everywhere, for one of the two users is a thief."""
    return _pair(await services_of(request).sign_ins.by_refresh(body.refresh_token))


@router.post(
    "/auth/sign-in",
    response_model=TokenPair,
    summary="Sign in with a one-time link",
    responses=problems(401),
    openapi_extra=PUBLIC,
)
async def sign_in_by_link(request: Request, body: SignInLink) -> Response:
    """Trade the token of a sign-in link for a pair; it works once."""
    return _pair(await services_of(request).sign_ins.by_link(body.token))


@router.post("/auth/revoke", status_code=204, summary="Sign out", openapi_extra=PUBLIC)
async def revoke(
    request: Request, token: Secret, token_type_hint: Annotated[str, Form(max_length=50)] = ""
) -> Response:
    """End the session a refresh token belongs to (RFC 7009); an unknown token is no error."""
    del token_type_hint
    await services_of(request).sign_ins.revoke(token)
    return answers.nothing()


@router.put("/auth/password", status_code=204, summary="Change your password", responses=problems(403, 404, 429))
async def change_password(request: Request, body: PasswordChange) -> Response:
    """Set a new password and end all sessions; the current one is needed unless the account has none."""
    caller = caller_of(request)
    await services_of(request).sign_ins.change_password(caller.user_id, body.current_password, body.new_password)
    return answers.nothing()


@router.get("/.well-known/jwks.json", summary="Public keys of our tokens", openapi_extra=PUBLIC)
async def jwks(request: Request) -> Response:
    """For services that verify our access tokens themselves."""
    return answers.json(services_of(request).tokens.keys.jwks(), headers={"Cache-Control": "public, max-age=300"})


def _pair(pair: Pair) -> Response:
    return answers.json({**pair._asdict(), "token_type": "bearer"}, headers=_NO_STORE)
