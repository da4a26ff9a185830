"""Users as clients send and receive them."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.schemas.common import LEFT_OUT, Body, Details, Moment, Shown
from store.types import Role, UserStatus

Email = Annotated[
    str,
    Field(min_length=3, max_length=254, pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"),
]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Locale = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]
Password = Annotated[str, Field(min_length=10, max_length=128)]
GrantableRole = Literal["learner", "instructor", "admin"]

EXAMPLE: dict[str, Any] = {
    "id": "user-0197a5a27c007abc8000",
    "email": "ada@example.org",
    "name": "Ada",
    "role": "learner",
    "status": "active",
    "locale": "en",
    "preferences": {},
    "version": 1,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
}


class UserCreate(Body):
    """A registration. Only an admin gives somebody else a role above learner."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "ada@example.org", "name": "Ada", "password": "correct horse battery"}]
        }
    )

    email: Email
    name: Name
    password: Password | None = None
    """Without one, this user comes in through a sign-in link or an external issuer."""
    role: GrantableRole = "learner"
    locale: Locale = "en"
    preferences: Details = Field(default_factory=dict)


class UserUpdate(Body):
    """What to change; members left out stay as they are. Only an admin changes roles."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada L.", "locale": "es"}]})

    email: Email = LEFT_OUT
    name: Name = LEFT_OUT
    role: GrantableRole = LEFT_OUT
    locale: Locale = LEFT_OUT
    preferences: Details = LEFT_OUT


class User(Shown):
    """A user as they are now."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: str
    email: str
    name: str
    role: Role
    status: UserStatus
    locale: str
    preferences: dict[str, Any]
    version: int
    created_at: Moment
    updated_at: Moment
