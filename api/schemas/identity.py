"""Tokens as clients send and receive them."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.schemas.common import Body, Shown
from api.schemas.users import Password

PAIR: dict[str, Any] = {
    "access_token": "<access token>",
    "token_type": "bearer",
    "expires_in": 900,
    "refresh_token": "<refresh token>",
    "user_id": "user-0197a5a27c007abc8000",
}


class RefreshToken(Body):
    """The refresh token of the last pair."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "<refresh token>"}]})

    refresh_token: Annotated[str, Field(min_length=1, max_length=512)]


class SignInLink(Body):
    """The token of a one-time sign-in link."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "<token of the link>"}]})

    token: Annotated[str, Field(min_length=1, max_length=512)]


class PasswordChange(Body):
    """A new password; the current one proves that it is you."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"current_password": "correct horse battery", "new_password": "an even better sentence"}]
        }
    )

    current_password: Annotated[str, Field(max_length=128)] | None = None
    """Needed unless the account has none yet."""
    new_password: Password


class TokenPair(Shown):
    """An access token for the next minutes, and a refresh token for the next pair."""

    model_config = ConfigDict(json_schema_extra={"examples": [PAIR]})

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int
    """Seconds the access token lives."""
    refresh_token: str
    """Works once; using it a second time ends the session everywhere."""
    user_id: str
