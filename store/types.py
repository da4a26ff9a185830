"""Enumerations and small value types shared by every noun of the store."""

import os
import time
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

T = TypeVar("T")


class Role(StrEnum):
    """What a caller may do; the database policies know the same names."""

    LEARNER = "learner"
    INSTRUCTOR = "instructor"
    ADMIN = "admin"
    SERVICE = "service"


class UserStatus(StrEnum):
    """A deactivated user keeps their data and loses every way in."""

    ACTIVE = "active"
    DEACTIVATED = "deactivated"


class CourseStatus(StrEnum):
    """Drafts are seen by their owner only; archived courses are read-only."""

    DRAFT = "draft"
    PUBLISHED = "published"
    ARCHIVED = "archived"


class GoalType(StrEnum):
    """What kind of aim a goal is."""

    LEARNING = "learning"
    PROJECT = "project"
    SKILL = "skill"
    CERTIFICATION = "certification"
    HABIT = "habit"


class GoalStatus(StrEnum):
    """Where a goal stands; `store.transitions` holds the allowed moves."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class TaskType(StrEnum):
    """What kind of work a task is."""

    READ = "read"
    PRACTICE = "practice"
    BUILD = "build"
    REVIEW = "review"
    ASSESS = "assess"


class TaskStatus(StrEnum):
    """Where a task stands; `store.transitions` holds the allowed moves."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Priority(StrEnum):
    """How much something matters, lowest first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ValidationStatus(StrEnum):
    """What the last validation of a code snapshot found."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"


class Visibility(StrEnum):
    """Who besides the owner may read an entity: nobody, the members of its course, or everybody.

    A course is always for its members: there, private and course mean the same.
    """

    PRIVATE = "private"
    COURSE = "course"
    GLOBAL = "global"


class EntityType(StrEnum):
    """Everything whose state is the fold of its own events."""

    USER = "user"
    COURSE = "course"
    ENROLLMENT = "enrollment"
    GOAL = "goal"
    TASK = "task"
    CODE_SNAPSHOT = "code_snapshot"


class Page(NamedTuple, Generic[T]):
    """One page of a listing, and how many rows the whole listing has."""

    items: list[T]
    total: int


def new_id() -> UUID:
    """Return a time-ordered UUID, version 7 as in RFC 9562: 48 bits of milliseconds, then random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
