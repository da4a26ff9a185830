"""Code snapshots: what a learner wrote for a task, version by version, and what validation said."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import Match, SequenceMatcher
from pathlib import PurePosixPath
from typing import Any, LiteralString
from uuid import UUID

from store.database import Transaction
from store.errors import Invalid, NotFound
from store.event_types import EventType
from store.events import envelope, recording
from store.reading import Reader
from store.records import (
    NEWEST_FIRST,
    asked_changes,
    asked_clauses,
    check_version,
    follow_sharing,
    inherited_visibility,
    page_of,
    values_of,
)
from store.types import Page, ValidationStatus, Visibility, new_id

MAX_CONTENT_BYTES = 256 * 1024

LANGUAGES: Mapping[str, str] = {
    ".py": "python", ".js": "javascript", ".jsx": "javascript", ".mjs": "javascript", ".ts": "typescript",
    ".tsx": "typescript", ".java": "java", ".go": "go", ".rs": "rust", ".c": "c", ".h": "c", ".cpp": "cpp",
    ".cc": "cpp", ".hpp": "cpp", ".cs": "csharp", ".rb": "ruby", ".php": "php", ".sql": "sql", ".sh": "shell",
    ".html": "html", ".css": "css", ".md": "markdown",
}  # fmt: skip


@dataclass(frozen=True)
class CodeSnapshot:
    """One version of one file of a task. `diff` is unified, against the version before it."""

    id: UUID
    task_id: UUID
    goal_id: UUID
    user_id: str
    course_id: str | None
    file_path: str
    language: str
    content: str
    content_hash: str
    snapshot_version: int
    diff: str
    validation_status: ValidationStatus
    validation_score: float | None
    validation_feedback: str
    validation_issues: list[dict[str, Any]]
    validated_at: datetime | None
    visibility: Visibility
    details: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSnapshot:
    """What the learner hands in."""

    task_id: UUID
    file_path: str
    content: str
    language: str | None = None
    """None guesses from the file's name; "text" when nothing fits."""
    visibility: Visibility | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The outcome of checking a snapshot: passed or failed, a score from 0 to 1, and what was found."""

    status: ValidationStatus
    score: float
    feedback: str = ""
    issues: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFilter:
    """Which snapshots to list, newest first. `None` means any."""

    task_id: UUID | None = None
    goal_id: UUID | None = None
    file_path: str | None = None
    language: str | None = None
    validation_status: ValidationStatus | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    skip: int = 0
    limit: int = 50


EDITABLE = frozenset({"content", "language", "visibility", "details"})

_MISSING = "There is no code snapshot of that id here for you."

_CREATE: LiteralString = (
    """
WITH stamp AS MATERIALIZED (SELECT clock_timestamp() AS at),
changed AS (
    INSERT INTO code_snapshots (
        id, task_id, goal_id, user_id, course_id, file_path, language, content, content_hash, snapshot_version, diff,
        validation_status, validation_score, validation_feedback, validation_issues, validated_at, visibility, details,
        version, created_at, updated_at)
    SELECT n.id, n.task_id, n.goal_id, n.user_id, n.course_id, n.file_path, n.language, n.content, n.content_hash,
           n.snapshot_version, n.diff, n.validation_status, n.validation_score, n.validation_feedback,
           n.validation_issues, n.validated_at, n.visibility, n.details, 1, stamp.at, stamp.at
    FROM stamp, jsonb_populate_record(NULL::code_snapshots, %(payload)s::jsonb -> 'changes') AS n
    RETURNING *
)"""
    + recording("user_id")
    + "SELECT * FROM changed"
)

_UPDATE: LiteralString = (
    """
WITH changed AS (
    UPDATE code_snapshots AS s
    SET (language, content, content_hash, diff, validation_status, validation_score, validation_feedback,
         validation_issues, validated_at, visibility, details) = (
            SELECT n.language, n.content, n.content_hash, n.diff, n.validation_status, n.validation_score,
                   n.validation_feedback, n.validation_issues, n.validated_at, n.visibility, n.details
            FROM jsonb_populate_record(s, %(payload)s::jsonb -> 'changes') AS n),
        version = s.version + 1,
        updated_at = greatest(clock_timestamp(), s.updated_at + interval '1 microsecond')
    WHERE s.id = %(id)s AND s.user_id = %(actor)s
    RETURNING s.*
)"""
    + recording("user_id")
    + "SELECT * FROM changed"
)

_DELETE: LiteralString = (
    """
WITH changed AS (
    DELETE FROM code_snapshots AS s WHERE s.id = %(id)s AND s.user_id = %(actor)s
    RETURNING s.id, s.user_id, s.version + 1 AS version,
              greatest(clock_timestamp(), s.updated_at + interval '1 microsecond') AS updated_at
)"""
    + recording("user_id")
    + "SELECT version FROM changed"
)

_OWN: LiteralString = "FROM code_snapshots WHERE user_id = %(user_id)s"
_OF_TASK: LiteralString = (
    "FROM code_snapshots WHERE task_id = %(task_id)s AND (user_id = %(user_id)s OR visibility <> 'private')"
)

_CLAUSES: dict[str, LiteralString] = {
    "goal_id": "goal_id = %(goal_id)s",
    "file_path": "file_path = %(file_path)s",
    "language": "language = %(language)s",
    "validation_status": "validation_status = %(validation_status)s",
    "created_from": "created_at >= %(created_from)s",
    "created_to": "created_at <= %(created_to)s",
}


async def create(tx: Transaction, new: NewSnapshot) -> CodeSnapshot:
    """Store the next version of a file of a task.

    Raises `NotFound` for a task that is not the caller's, `Invalid` for a path that leaves its folder or content over
    256 KiB.
    """
    task = await _task(tx, new.task_id)
    path = clean_path(new.file_path)
    previous = await latest(tx, new.task_id, path, none_ok=True)
    content_hash = _hash(new.content)
    changes: dict[str, Any] = {
        **values_of(new),
        "id": new.id or new_id(),
        "goal_id": task.goal_id,
        "user_id": tx.principal.user_id,
        "course_id": task.course_id,
        "file_path": path,
        "language": (new.language or LANGUAGES.get(PurePosixPath(path).suffix.lower(), "text")).lower(),
        "content_hash": content_hash,
        "snapshot_version": previous.snapshot_version + 1 if previous else 1,
        "diff": unified_diff(previous.content, new.content, path) if previous else "",
        "visibility": await inherited_visibility(tx, new.visibility, task),
        "validation_status": ValidationStatus.PENDING,
        "validation_score": None,
        "validation_feedback": "",
        "validation_issues": [],
        "validated_at": None,
    }
    snapshot = await tx.fetch_one(_CREATE, envelope(tx, EventType.CODE_SNAPSHOT_CREATED, changes), row=CodeSnapshot)
    assert snapshot is not None
    return snapshot


async def get(tx: Reader, snapshot_id: UUID) -> CodeSnapshot:
    """Return a snapshot of the caller's, or one that is shared with them. Raises `NotFound`."""
    snapshot = await tx.fetch_one(
        "SELECT * FROM code_snapshots WHERE id = %s AND (user_id = %s OR visibility <> 'private')",
        [snapshot_id, tx.principal.user_id],
        row=CodeSnapshot,
    )
    if snapshot is None:
        raise NotFound(_MISSING)
    return snapshot


async def latest(
    tx: Reader, task_id: UUID, file_path: str | None = None, *, none_ok: bool = False
) -> CodeSnapshot | None:
    """Return the caller's newest snapshot of a task, or of one of its files.

    Raises `NotFound` when there is none, or returns None with `none_ok`.
    """
    snapshot = await tx.fetch_one(
        "SELECT * FROM code_snapshots WHERE task_id = %(task_id)s AND user_id = %(user_id)s"
        " AND (%(file_path)s::text IS NULL OR file_path = %(file_path)s)"
        " ORDER BY CASE WHEN %(file_path)s::text IS NULL THEN 0 ELSE snapshot_version END DESC, created_at DESC,"
        " id DESC LIMIT 1",
        {"task_id": task_id, "user_id": tx.principal.user_id, "file_path": file_path},
        row=CodeSnapshot,
    )
    if snapshot is None and not none_ok:
        raise NotFound("There is no code snapshot of that task here for you.")
    return snapshot


async def list(tx: Reader, wanted: SnapshotFilter) -> Page[CodeSnapshot]:  # noqa: A001 - reads as snapshots.list
    """Return one page of the caller's snapshots, or of a task's snapshots the caller may see."""
    params = values_of(wanted) | {"user_id": tx.principal.user_id}
    listed = (_OWN if wanted.task_id is None else _OF_TASK) + asked_clauses(_CLAUSES, params)
    return await page_of(tx, listed, NEWEST_FIRST, params, CodeSnapshot)


async def update(
    tx: Transaction, snapshot_id: UUID, asked: Mapping[str, object], *, expected_version: int | None = None
) -> CodeSnapshot:
    """Change a snapshot of the caller's; new content takes back its validation.

    Raises `NotFound`, `VersionConflict`, `Invalid`, and `Forbidden` for sharing outside the caller's courses.
    """
    current = await _lock(tx, snapshot_id)
    check_version(current.version, expected_version)
    changes = asked_changes(current, asked, EDITABLE)
    if not changes:
        return current
    changes = await follow_sharing(tx, current, asked, changes)
    if "content" in changes:
        changes |= await _recontent(tx, current, str(changes["content"]))
    kind = (
        EventType.CODE_SNAPSHOT_VISIBILITY_CHANGED
        if changes.keys() == {"visibility"}
        else EventType.CODE_SNAPSHOT_UPDATED
    )
    return await _write(tx, snapshot_id, kind, changes)


async def record_validation(
    tx: Transaction, snapshot_id: UUID, validation: Validation, *, expected_version: int | None = None
) -> CodeSnapshot:
    """Record what a validation of the caller's snapshot found.

    Raises `NotFound`, `VersionConflict`, and `Invalid` for a score outside 0 to 1 or a status of pending.
    """
    if not 0 <= validation.score <= 1:
        raise Invalid("A validation score lies between 0 and 1.")
    if validation.status is ValidationStatus.PENDING:
        raise Invalid("A validation ends as 'passed' or 'failed'.")
    current = await _lock(tx, snapshot_id)
    check_version(current.version, expected_version)
    changes: dict[str, object] = {
        "validation_status": validation.status,
        "validation_score": float(validation.score),
        "validation_feedback": validation.feedback,
        "validation_issues": [dict(issue) for issue in validation.issues],
        "validated_at": tx.now(),
    }
    changes = await follow_sharing(tx, current, {}, changes)
    return await _write(tx, snapshot_id, EventType.CODE_SNAPSHOT_VALIDATED, changes)


async def delete(tx: Transaction, snapshot_id: UUID, *, expected_version: int | None = None) -> None:
    """Delete a snapshot of the caller's. Raises `NotFound` and `VersionConflict`."""
    current = await _lock(tx, snapshot_id)
    check_version(current.version, expected_version)
    await _delete(tx, snapshot_id)


async def delete_of_task(tx: Transaction, task_id: UUID) -> None:
    """Delete every snapshot of a task the caller owns, an event for each."""
    rows = await tx.fetch_all(
        "SELECT id FROM code_snapshots WHERE task_id = %s AND user_id = %s",
        [task_id, tx.principal.user_id],
        row=_Id,
    )
    for row in rows:
        await _delete(tx, row.id)


async def diff(tx: Reader, before_id: UUID, after_id: UUID) -> str:
    """Return the unified diff between two snapshots the caller may see. Raises `NotFound`."""
    before, after = await get(tx, before_id), await get(tx, after_id)
    return unified_diff(before.content, after.content, after.file_path)


class _Comparison(SequenceMatcher[str]):
    """Looks for what two texts have in common for so many steps, a third of a second; the rest counts as replaced.

    Without an end, two files of 256 KiB that were made for it take an hour.
    """

    a: Sequence[str]
    b2j: Mapping[str, Sequence[int]]
    steps = 500_000

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        """Return the longest match of two ranges of lines, an empty one when there are no steps left."""
        if self.steps > 0:
            self.steps -= sum(1 + len(self.b2j.get(line, ())) for line in self.a[alo:ahi])
        return super().find_longest_match(alo, ahi, blo, bhi) if self.steps > 0 else Match(alo, blo, 0)


def unified_diff(before: str, after: str, path: str) -> str:
    """Return the changes from `before` to `after` in unified format, three lines of context; "" when equal."""
    changes = "\n".join(_changes(before.splitlines(), after.splitlines()))
    return f"--- a/{path}\n+++ b/{path}\n{changes}" if changes else ""


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    for group in _Comparison(None, old, new).get_grouped_opcodes(3):
        (_, old_from, _, new_from, _), (_, _, old_to, _, new_to) = group[0], group[-1]
        yield f"@@ -{_span(old_from, old_to)} +{_span(new_from, new_to)} @@"
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (f" {line}" for line in old[i1:i2])
            else:
                yield from (f"-{line}" for line in old[i1:i2])
                yield from (f"+{line}" for line in new[j1:j2])


def _span(start: int, stop: int) -> str:
    """Return a range of lines as the format counts them: from 1, or from the line before where there are none."""
    count = stop - start
    return f"{start + 1}" if count == 1 else f"{start + 1 if count else start},{count}"


def clean_path(path: str) -> str:
    """Return `path` as a relative POSIX path. Raises `Invalid` for one that is absolute or climbs out.

    The path is a label, never opened; it is kept clean for those who write the files back.
    """
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts or len(path) > 512:
        raise Invalid("file_path must name a file, in at most 512 characters.")
    if parts[0].startswith("/") or ".." in parts or ":" in parts[0] or any(not part.isprintable() for part in parts):
        raise Invalid("file_path must be relative, without '..' and without control characters.")
    return "/".join(parts)


@dataclass(frozen=True, slots=True)
class _Task:
    goal_id: UUID
    course_id: str | None
    visibility: Visibility


@dataclass(frozen=True, slots=True)
class _Id:
    id: UUID


async def _task(tx: Transaction, task_id: UUID) -> _Task:
    # The lock gives two snapshots of one file two versions.
    task = await tx.fetch_one(
        "SELECT goal_id, course_id, visibility FROM tasks WHERE id = %s AND user_id = %s FOR NO KEY UPDATE",
        [task_id, tx.principal.user_id],
        row=_Task,
    )
    if task is None:
        raise NotFound("There is no task of that id here for you.")
    return task


async def _lock(tx: Transaction, snapshot_id: UUID) -> CodeSnapshot:
    snapshot = await tx.fetch_one(
        "SELECT * FROM code_snapshots WHERE id = %s AND user_id = %s FOR NO KEY UPDATE",
        [snapshot_id, tx.principal.user_id],
        row=CodeSnapshot,
    )
    if snapshot is None:
        raise NotFound(_MISSING)
    return snapshot


async def _recontent(tx: Transaction, current: CodeSnapshot, content: str) -> dict[str, object]:
    before = await tx.fetch_value(
        "SELECT content FROM code_snapshots WHERE task_id = %s AND file_path = %s AND user_id = %s"
        " AND snapshot_version < %s ORDER BY snapshot_version DESC LIMIT 1",
        [current.task_id, current.file_path, tx.principal.user_id, current.snapshot_version],
    )
    return {
        "content_hash": _hash(content),
        "diff": "" if before is None else unified_diff(before, content, current.file_path),
        "validation_status": ValidationStatus.PENDING,
        "validation_score": None,
        "validation_feedback": "",
        "validation_issues": [],
        "validated_at": None,
    }


async def _write(tx: Transaction, snapshot_id: UUID, kind: EventType, changes: Mapping[str, object]) -> CodeSnapshot:
    snapshot = await tx.fetch_one(_UPDATE, envelope(tx, kind, changes) | {"id": snapshot_id}, row=CodeSnapshot)
    if snapshot is None:
        raise NotFound(_MISSING)
    return snapshot


async def _delete(tx: Transaction, snapshot_id: UUID) -> None:
    event = envelope(tx, EventType.CODE_SNAPSHOT_DELETED, {}, deleted=True)
    await tx.fetch_value(_DELETE, event | {"id": snapshot_id})


def _hash(content: str) -> str:
    try:
        data = content.encode()
    except UnicodeEncodeError:
        raise Invalid("The content holds a lone surrogate; send valid Unicode.") from None
    if len(data) > MAX_CONTENT_BYTES:
        raise Invalid(f"The content is {len(data)} bytes; the limit is {MAX_CONTENT_BYTES}. Send the part to check.")
    return hashlib.sha256(data).hexdigest()
