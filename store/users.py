"""Users: who has an account here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, LiteralString

from store.database import Transaction
from store.errors import Forbidden, IllegalTransition, NotFound
from store.event_types import EventType
from store.events import envelope, recording
from store.reading import Reader
from store.records import asked_changes, check_version, values_of
from store.types import Role, UserStatus, new_id
from store.wakeups import CLOSED


@dataclass(frozen=True)
class User:
    """A user as they are now. Their password hash lives elsewhere, see `store.credentials`."""

    id: str
    email: str
    name: str
    role: Role
    status: UserStatus
    locale: str
    preferences: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """What a registration decides."""

    email: str
    name: str
    role: Role = Role.LEARNER
    locale: str = "en"
    preferences: dict[str, Any] = field(default_factory=dict[str, Any])
    id: str | None = None


@dataclass(frozen=True)
class ClosedAccount:
    """An account that is no more, so its tokens are worth nothing."""

    user_id: str
    age: float
    """Seconds since it was closed, or changed after that."""
    erased: bool


EDITABLE = frozenset({"email", "name", "role", "locale", "preferences"})

_MISSING = "There is no user of that id here for you."

_CREATE: LiteralString = (
    """
WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS at),
changed AS (
    INSERT INTO users (id, email, name, role, status, locale, preferences, version, created_at, updated_at)
    SELECT n.id, n.email, n.name, n.role, n.status, n.locale, n.preferences, 1, stamp.at, stamp.at
    FROM stamp, jsonb_populate_record(NULL::users, %(payload)s::jsonb -> 'changes') AS n
    RETURNING *
)"""
    + recording("id")
    + "SELECT * FROM changed"
)

_UPDATE: LiteralString = (
    """
WITH changed AS (
    UPDATE users AS u
    SET (email, name, role, status, locale, preferences) = (
            SELECT n.email, n.name, n.role, n.status, n.locale, n.preferences
            FROM jsonb_populate_record(u, %(payload)s::jsonb -> 'changes') AS n),
        version = u.version + 1,
        updated_at = greatest(clock_timestamp(), u.updated_at + interval '1 microsecond')
    WHERE u.id = %(id)s AND (u.id = %(actor)s OR %(any)s)
    RETURNING u.*
)"""
    + recording("id")
    + "SELECT * FROM changed"
)


_CLOSED: LiteralString = """
SELECT id AS user_id, extract(epoch FROM now() - updated_at)::float8 AS age, false AS erased
FROM users WHERE status = 'deactivated' AND updated_at > coalesce(now() - %(within)s::interval, '-infinity')
UNION ALL
SELECT entity_id, extract(epoch FROM now() - recorded_at)::float8, true
FROM events WHERE type = 'user.erased' AND recorded_at > coalesce(now() - %(within)s::interval, '-infinity')
"""


async def create(tx: Transaction, new: NewUser) -> User:
    """Register a user. Runs as the service: nobody is signed in before they have an account.

    Raises `Forbidden` for anybody else than the service or an admin, `Conflict` when the email is taken.
    """
    if tx.principal.role not in (Role.SERVICE, Role.ADMIN):
        raise Forbidden("Only an admin registers other people.")
    changes = {**values_of(new), "id": new.id or f"user-{new_id().hex}", "status": UserStatus.ACTIVE}
    user = await tx.fetch_one(_CREATE, envelope(tx, EventType.USER_REGISTERED, changes), row=User)
    assert user is not None
    return user


async def get(tx: Reader, user_id: str) -> User:
    """Return the caller, or anybody to an admin. Raises `NotFound`."""
    return _found(await tx.fetch_one("SELECT * FROM users WHERE id = %s", [_allowed(tx, user_id)], row=User))


async def get_by_email(tx: Reader, email: str) -> User:
    """Return the user of that email address, whatever its case, if it is the caller or the caller is an admin.

    Raises `NotFound`.
    """
    user = _found(await tx.fetch_one("SELECT * FROM users WHERE lower(email) = lower(%s)", [email], row=User))
    _allowed(tx, user.id)
    return user


async def update(
    tx: Transaction, user_id: str, asked: Mapping[str, object], *, expected_version: int | None = None
) -> User:
    """Change the caller, or anybody as an admin; only admins change roles.

    Raises `NotFound`, `VersionConflict`, `Conflict`, `Forbidden`, `Invalid`.
    """
    current = await _lock(tx, user_id)
    check_version(current.version, expected_version)
    changes = asked_changes(current, asked, EDITABLE)
    if not changes:
        return current
    if "role" in changes and not _any(tx):
        raise Forbidden("Only an admin changes roles.")
    return await _write(tx, user_id, EventType.USER_UPDATED, changes)


async def deactivate(tx: Transaction, user_id: str, *, expected_version: int | None = None) -> User:
    """Close the caller's account, or anybody's as an admin. Raises `NotFound`, `IllegalTransition`."""
    current = await _lock(tx, user_id)
    check_version(current.version, expected_version)
    if current.status is UserStatus.DEACTIVATED:
        raise IllegalTransition("This account is deactivated already.")
    user = await _write(tx, user_id, EventType.USER_DEACTIVATED, {"status": UserStatus.DEACTIVATED})
    await announce_closed(tx)
    return user


async def announce_closed(tx: Transaction) -> None:
    """Wake every process, once this is committed, to find out whose account was closed."""
    await tx.execute("SELECT pg_notify(%s, '')", [CLOSED])


async def closed(reader: Reader, within: timedelta | None) -> list[ClosedAccount]:
    """Return the accounts closed or erased within this time; all there ever were without one. For the service."""
    return await reader.fetch_all(_CLOSED, {"within": within}, row=ClosedAccount)


def _any(tx: Reader) -> bool:
    return tx.principal.role in (Role.ADMIN, Role.SERVICE)


def _allowed(tx: Reader, user_id: str) -> str:
    if user_id != tx.principal.user_id and not _any(tx):
        raise NotFound(_MISSING)
    return user_id


def _found(user: User | None) -> User:
    if user is None:
        raise NotFound(_MISSING)
    return user


async def _lock(tx: Transaction, user_id: str) -> User:
    allowed = _allowed(tx, user_id)
    return _found(await tx.fetch_one("SELECT * FROM users WHERE id = %s FOR NO KEY UPDATE", [allowed], row=User))


async def _write(tx: Transaction, user_id: str, kind: EventType, changes: Mapping[str, object]) -> User:
    params = envelope(tx, kind, changes) | {"id": user_id, "any": _any(tx)}
    return _found(await tx.fetch_one(_UPDATE, params, row=User))
