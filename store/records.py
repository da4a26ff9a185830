"""What all mutators share: comparing asked values with the row, and refusing what may not be edited."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, LiteralString, Protocol, TypeVar

from store.database import Transaction
from store.errors import Forbidden, Invalid, VersionConflict
from store.reading import Reader
from store.types import Page, Role, Visibility

T = TypeVar("T")

NEWEST_FIRST: LiteralString = " ORDER BY created_at DESC, id"


def asked_changes(current: object, asked: Mapping[str, object], editable: frozenset[str]) -> dict[str, object]:
    """Return the part of `asked` that differs from `current`. Raises `Invalid` for what cannot be edited."""
    unknown = sorted(asked.keys() - editable)
    if unknown:
        raise Invalid(f"{', '.join(unknown)} cannot be changed. These can: {', '.join(sorted(editable))}.")
    return {name: value for name, value in asked.items() if getattr(current, name) != value}


def check_version(current: int, expected: int | None) -> None:
    """Raise `VersionConflict` when the caller has read another version than the present one."""
    if expected is not None and expected != current:
        raise VersionConflict(
            f"You changed version {expected}, but it is at version {current} by now. Read it again and repeat."
        )


def values_of(record: object) -> dict[str, Any]:
    """Return the fields of a dataclass by name, without copying their contents."""
    return {field.name: getattr(record, field.name) for field in fields(record)}  # pyright: ignore[reportArgumentType]


def asked_clauses(clauses: Mapping[str, LiteralString], params: Mapping[str, object]) -> LiteralString:
    """Return the conditions whose parameter was given.

    A condition on every possible filter, `%(x)s IS NULL OR x = %(x)s`, would make PostgreSQL plan each call anew.
    """
    asked: LiteralString = ""
    for name, clause in clauses.items():
        if params[name] is not None:
            asked += " AND " + clause
    return asked


async def page_of(
    tx: Reader, listed: LiteralString, order: LiteralString, params: Mapping[str, Any], row: type[T]
) -> Page[T]:
    """Return one page of `listed` ("FROM ... WHERE ..."), by the `skip` and `limit` of `params`.

    The rows bring the length of the whole listing along; only a page without rows has to ask for it.
    """
    query = "SELECT *, (SELECT count(*) " + listed + ") AS total " + listed + order + " LIMIT %(limit)s OFFSET %(skip)s"
    items, total = await tx.fetch_counted(query, dict(params), row=row)
    if not items:
        total = await tx.fetch_value("SELECT count(*) " + listed, dict(params))
    return Page(items, total)


async def is_member(tx: Reader, course_id: str) -> bool:
    """Tell whether the caller belongs to the course: enrolled here, its owner, or vouched for by their token."""
    return course_id in tx.principal.courses or bool(
        await tx.fetch_value("SELECT %s = ANY (my_courses())", [course_id])
    )


async def chosen_visibility(
    tx: Transaction, asked: Visibility | None, course_id: str | None, *, leave_open: bool = False
) -> Visibility:
    """Return the visibility a new entity gets: what was asked for, else what its course or the deployment says.

    With `leave_open` the statement that writes the row checks the membership itself, which saves a round trip.
    Raises `Forbidden` when the caller asks to share with a course they do not belong to.
    """
    if asked is Visibility.COURSE:
        await check_course_sharing(tx, course_id)
    if asked is not None:
        return asked
    if course_id is not None and (leave_open or await is_member(tx, course_id)):
        return tx.policy.course_visibility
    return Visibility.PRIVATE


class Shareable(Protocol):
    """A row that may be shared with a course."""

    @property
    def visibility(self) -> Visibility: ...

    @property
    def course_id(self) -> str | None: ...


async def kept_visibility(tx: Reader, row: Shareable) -> Visibility:
    """Return how widely the owner of a row may go on sharing it; private once they have no say there any more."""
    if row.visibility is Visibility.COURSE and not await is_member(tx, row.course_id or ""):
        return Visibility.PRIVATE
    if row.visibility is Visibility.GLOBAL and tx.principal.role not in (Role.INSTRUCTOR, Role.ADMIN):
        return Visibility.PRIVATE
    return row.visibility


async def inherited_visibility(tx: Transaction, asked: Visibility | None, parent: Shareable) -> Visibility:
    """Return the visibility of what is made inside `parent`: what was asked for, else the parent's own.

    Raises `Forbidden` as `chosen_visibility` does.
    """
    return await kept_visibility(tx, parent) if asked is None else await chosen_visibility(tx, asked, parent.course_id)


async def follow_sharing(
    tx: Transaction, current: Shareable, asked: Mapping[str, object], changes: dict[str, object]
) -> dict[str, object]:
    """Return `changes` with what follows for sharing: who left a course takes back what they change.

    Raises `Forbidden` or `Invalid` where `asked` would share with a course the caller does not belong to.
    """
    if asked.get("visibility") == Visibility.COURSE:
        await check_course_sharing(tx, current.course_id)
    elif "visibility" not in changes:
        kept = await kept_visibility(tx, current)
        return changes if kept is current.visibility else {**changes, "visibility": kept}
    return changes


async def check_course_sharing(tx: Transaction, course_id: str | None) -> None:
    """Raise unless there is a course to share with and the caller belongs to it."""
    if course_id is None:
        raise Invalid("Visibility 'course' needs a course_id; without one choose 'private'.")
    if not await is_member(tx, course_id):
        raise Forbidden(f"You are not enrolled in course {course_id!r}, so nothing can be shared with it.")
