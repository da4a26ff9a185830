"""What can be asked of the index, and what comes back."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from store.database import Transaction
from store.errors import Invalid
from store.types import EntityType
from store.vectors import Vector

MOST_HITS: Final = 50
LONGEST_QUERY: Final = 20_000
SEARCHABLE: Final = (EntityType.GOAL, EntityType.TASK, EntityType.CODE_SNAPSHOT, EntityType.COURSE)

OpenTransaction = Callable[[], AbstractAsyncContextManager[Transaction]]


class Scope(StrEnum):
    """Whose rows: the caller's own, what is shared in the caller's courses, or what the whole platform shares."""

    USER = "user"
    COURSE = "course"
    GLOBAL = "global"


class Mode(StrEnum):
    """Nearness of meaning, words in common, or both."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


class Route(StrEnum):
    """How the nearest rows were found; chosen from the size of the scope, never by the query planner."""

    EXACT = "exact"
    """Every row of the scope is compared."""
    BITS = "bits"
    """Every row of the scope is compared by its signs, the best of them exactly."""
    ANN = "ann"
    """The approximate graph, which holds only what everybody may see."""
    NONE = "none"
    """Full text alone."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One question. Raises `Invalid`, with words for the person who asked, if it cannot be answered."""

    query: str
    scope: Scope = Scope.USER
    entity_types: tuple[EntityType, ...] = SEARCHABLE
    k: int = 10
    course_id: str | None = None
    """Narrows any scope to one course; scope `course` without it means all courses of the caller."""
    language: str | None = None
    """Programming language of code."""
    only_validated: bool = False
    since: datetime | None = None
    """Only text that was written or changed since then."""
    mode: Mode = Mode.HYBRID
    diversity: float = 0.0
    """0 ranks by score alone, towards 1 each further hit must differ more from those before it."""
    author_cap: int | None = None
    """Most hits of one author in shared scopes, while others have something too; a fifth of k by default."""
    smallest_group: int = 3
    """In courses, goals and tasks of others are shown only where those that match have so many authors together."""
    chunks: bool = False
    """Return every matching chunk rather than the best one of each entity."""

    def __post_init__(self) -> None:
        if not self.query.strip():
            raise Invalid("The query is empty. Say in a few words what to look for.")
        if len(self.query) > LONGEST_QUERY:
            raise Invalid(f"The query has {len(self.query)} characters; {LONGEST_QUERY} is the most. Shorten it.")
        if "\0" in self.query or any("\ud800" <= character <= "\udfff" for character in self.query):
            raise Invalid("The query holds characters that are not text.")
        if not 1 <= self.k <= MOST_HITS:
            raise Invalid(f"k must be between 1 and {MOST_HITS}, not {self.k}.")
        if not self.entity_types or not set(self.entity_types) <= set(SEARCHABLE):
            raise Invalid(f"entity_types must be some of {', '.join(SEARCHABLE)}.")
        if not 0 <= self.diversity <= 1:
            raise Invalid("diversity must be between 0 and 1.")
        if self.author_cap is not None and self.author_cap < 1:
            raise Invalid("author_cap must be at least 1.")
        if self.smallest_group < 1:
            raise Invalid("smallest_group must be at least 1.")

    @property
    def shared(self) -> bool:
        """True where other people's rows may be among the hits."""
        return self.scope is not Scope.USER

    @property
    def filtered(self) -> bool:
        """True when the scope's own size says little about how many rows qualify."""
        return bool(
            self.language or self.only_validated or self.since or (self.course_id and self.scope is not Scope.COURSE)
        )

    @property
    def most_of_one_author(self) -> int | None:
        """How many hits one author may have before others come first; none in the caller's own scope."""
        if not self.shared:
            return None
        return self.author_cap or max(1, self.k // 5)


@dataclass(frozen=True, slots=True)
class QueryVector:
    """The question as its embedder sees it."""

    model: str
    degraded: bool
    vector: Vector


@dataclass(frozen=True, slots=True)
class Hit:
    """One citation: where it is, and a snippet of it. Who wrote it is not said, except whether it was the caller."""

    entity_type: EntityType
    entity_id: str
    title: str
    heading: str
    snippet: str
    score: float
    scope: Scope
    own: bool
    chunk_no: int
    line_start: int | None
    line_end: int | None
    language: str | None
    validated: bool
    cosine: float | None = None
    coverage: float | None = None
    matched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the hits were found, and what about them is poorer than it could be."""

    model: str | None
    degraded: bool
    mode: Mode
    route: Route
    scope_rows: int
    """Indexed chunks in the scope, before filters."""
    candidates: int
    reranked: int
    lexical_weight: float
    terms: dict[str, float] = field(default_factory=dict[str, float])
    """The words of the question that were looked up, each with its weight."""
    short: bool = False
    """Fewer hits than asked for, because the scope has no more."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits, best first."""

    hits: list[Hit]
    provenance: Provenance
