"""What a verified token must say before anybody believes it, wherever it was issued."""

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from typing_extensions import TypeIs

from api.errors import Problem
from store.principal import Principal
from store.types import Role

MAX_TOKEN_CHARS = 8192
MAX_SUBJECT_CHARS = 255
MAX_COURSES = 500
LEEWAY_SECONDS = 30
"""How far two clocks may disagree."""


def refused(detail: str = "The access token is not valid.", code: str = "invalid_token") -> Problem:
    """The one answer to every bad token; it never says which check failed, only what to do."""
    challenge = f'Bearer error="{code}"'
    return Problem(401, code, f"{detail} Sign in again for a new one.", headers={"WWW-Authenticate": challenge})


def check_horizon(claims: Mapping[str, object], now: float, lifetime: timedelta) -> float:
    """Return `exp`; raises unless the token was issued in the past and ends within `lifetime` of now."""
    issued, expires = claims.get("iat"), claims.get("exp")
    if not _is_number(issued) or not _is_number(expires):
        raise refused()
    if issued > now + LEEWAY_SECONDS or expires > now + lifetime.total_seconds() + LEEWAY_SECONDS:
        raise refused()
    return expires


def principal_from(claims: Mapping[str, object], *, role_claim: str, courses_claim: str | None) -> Principal:
    """Return the identity a verified token speaks for.

    No token makes anyone `service`: that role belongs to background work and has no way in from outside.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not is_identifier(subject):
        raise refused()
    return Principal(subject, _role(claims.get(role_claim)), _courses(claims.get(courses_claim or "")))


def is_identifier(text: str) -> bool:
    """Whether a text can be the id of a user or course: short, printable, storable."""
    return 0 < len(text) <= MAX_SUBJECT_CHARS and text.isprintable() and text.strip() == text


def _role(value: object) -> Role:
    if isinstance(value, list):
        value = next(iter(cast("list[object]", value)), None)
    if value in (Role.INSTRUCTOR, Role.ADMIN):
        return Role(str(value))
    if value is None or value == Role.LEARNER:
        return Role.LEARNER
    raise refused()


def _courses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    named = cast("list[object]", value)
    courses = tuple(course for course in named if isinstance(course, str) and is_identifier(course))
    if len(courses) > MAX_COURSES:
        raise refused()
    return courses


def _is_number(value: object) -> TypeIs[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
