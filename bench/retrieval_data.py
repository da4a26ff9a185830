"""A made-up corpus for bench/retrieval.py: skewed authors and courses, topics, near duplicates, and exact answers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from store.search import Scope
from store.types import EntityType
from store.vectors import DIMENSIONS

Matrix = NDArray[np.float32]
TYPES = (EntityType.GOAL, EntityType.TASK, EntityType.CODE_SNAPSHOT)
LANGUAGES = ("python", "typescript", "go")


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    rows: int
    users: int
    courses: int
    topics: int = 40
    seed: int = 7


@dataclass(slots=True)
class Corpus:
    """One row per chunk; column n of every array describes row n."""

    size: Size
    vectors: Matrix
    kind: NDArray[np.int64]
    user: NDArray[np.int64]
    course: NDArray[np.int64]
    visibility: NDArray[np.int64]
    """0 private, 1 course, 2 global."""
    language: NDArray[np.int64]
    passed: NDArray[np.bool_]
    directions: Matrix
    ids: list[str] = field(default_factory=list[str])

    def mask(self, case: "Case", user: int, course: int) -> NDArray[np.bool_]:
        """Return which rows a question of this kind is about, by the same rules as the database."""
        shown = np.where(self.kind == 2, np.where(self.passed, self.visibility, 0), self.visibility)
        match case.scope:
            case Scope.USER:
                found = self.user == user
            case Scope.COURSE:
                found = (self.course == course) & (shown >= 1)
            case Scope.GLOBAL:
                found = shown == 2
        found = found & np.isin(self.kind, [TYPES.index(kind) for kind in case.types])
        if case.language:
            found &= self.language == LANGUAGES.index(case.language)
        return found & self.passed if case.only_validated else found


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of question."""

    name: str
    scope: Scope
    types: tuple[EntityType, ...]
    language: str | None = None
    only_validated: bool = False


CASES = (
    Case("user, goals", Scope.USER, (EntityType.GOAL,)),
    Case("user, all", Scope.USER, TYPES),
    Case("course, goals", Scope.COURSE, (EntityType.GOAL,)),
    Case("course, all", Scope.COURSE, TYPES),
    Case("global, goals", Scope.GLOBAL, (EntityType.GOAL,)),
    Case("global, passed python", Scope.GLOBAL, (EntityType.CODE_SNAPSHOT,), "python", True),
)


def uuid_of(number: int) -> str:
    """Return the id of row `number`."""
    return str(UUID(int=(0x0190_0000_0000 << 80) | (7 << 76) | (2 << 62) | number))


def build(size: Size) -> Corpus:
    """Make the corpus: a few authors and courses have most of it, as everywhere."""
    rng = np.random.default_rng(size.seed)
    user = skewed(rng, size.users, size.rows, 0.9)
    course = skewed(rng, size.courses, size.rows, 0.8)
    topic = rng.integers(0, size.topics, size.rows)
    common = rng.normal(size=DIMENSIONS)
    of_course = rng.normal(size=(size.courses, DIMENSIONS))
    of_topic = rng.normal(size=(size.courses, size.topics, DIMENSIONS)).astype(np.float32)
    directions = (0.4 * common + 0.5 * of_course[:, None, :] + 0.9 * of_topic).astype(np.float32)
    vectors = np.empty((size.rows, DIMENSIONS), np.float32)
    for start in range(0, size.rows, 10_000):
        part = slice(start, min(start + 10_000, size.rows))
        noise = rng.normal(size=(part.stop - part.start, DIMENSIONS)).astype(np.float32)
        vectors[part] = directions[course[part], topic[part]] + 0.75 * noise
    doubles = rng.choice(size.rows, size.rows // 10, replace=False)
    vectors[doubles] = vectors[rng.integers(0, size.rows, len(doubles))] + 0.1 * rng.normal(
        size=(len(doubles), DIMENSIONS)
    ).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Corpus(
        size, vectors, rng.choice(3, size.rows, p=[0.4, 0.25, 0.35]), user, course,
        rng.choice(3, size.rows, p=[0.2, 0.3, 0.5]), rng.choice(3, size.rows, p=[0.6, 0.25, 0.15]),
        rng.random(size.rows) < 0.7, directions, [uuid_of(number) for number in range(size.rows)],
    )  # fmt: skip


def skewed(rng: np.random.Generator, kinds: int, rows: int, power: float) -> NDArray[np.int64]:
    """Draw with Zipf's frequencies."""
    weights = 1 / np.arange(1, kinds + 1) ** power
    return rng.choice(kinds, rows, p=weights / weights.sum())


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks what, and what the right answer is."""

    case: Case
    user: int
    course: int
    vector: Matrix
    nearest: tuple[str, ...]
    threshold: float
    """Similarity of the k-th true answer: an equally near row is as good."""
    available: int


def questions(corpus: Corpus, case: Case, count: int, k: int) -> Iterator[Question]:
    """Ask about a topic of the corpus, two times in three one of the asker's own course."""
    rng = np.random.default_rng([corpus.size.seed, *case.name.encode()])
    for _ in range(count):
        row = int(rng.integers(0, corpus.size.rows))
        user, course = int(corpus.user[row]), int(corpus.course[row])
        about = course if rng.random() < 2 / 3 else int(rng.integers(0, corpus.size.courses))
        direction = corpus.directions[about, int(rng.integers(0, corpus.size.topics))]
        vector = direction + 0.75 * rng.normal(size=DIMENSIONS).astype(np.float32)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        rows = np.flatnonzero(corpus.mask(case, user, course))
        likeness = corpus.vectors[rows] @ vector
        best = np.argsort(-likeness)[:k]
        yield Question(
            case, user, course, vector, tuple(corpus.ids[rows[place]] for place in best),
            float(likeness[best[-1]]) if len(best) else 0.0, min(k, len(rows)),
        )  # fmt: skip
