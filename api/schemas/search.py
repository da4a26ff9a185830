"""A search as the query string asks it, and its answer."""

import re
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.schemas.common import Identifier, Language, Moment, Shown
from store.search import Mode, Route, Scope
from store.search_types import MOST_HITS, SEARCHABLE
from store.types import EntityType

_WRITTEN = re.compile(r"(goal|task|code_snapshot|course):(.{1,255}):(\d{1,18})")


def _listed(value: object) -> object:
    if not isinstance(value, str):
        return value
    parts = tuple(part.strip() for part in value.split(","))
    if not set(parts) <= set(SEARCHABLE):
        raise ValueError(f"must be some of {', '.join(SEARCHABLE)}, with commas between them")
    return parts


class SearchQuery(BaseModel):
    """What to look for, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    WRITTEN: ClassVar[re.Pattern[str]] = _WRITTEN

    q: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S", description="What to look for, in words.")]
    scope: Annotated[Scope, Field(description="Your own rows, your courses', or everybody's.")] = Scope.USER
    types: Annotated[
        tuple[EntityType, ...],
        BeforeValidator(_listed),
        Field(min_length=1, description="Comma-separated: goal, task, code_snapshot, course."),
    ] = SEARCHABLE
    k: Annotated[int, Field(ge=1, le=MOST_HITS, description="How many hits.")] = 10
    course_id: Annotated[Identifier | None, Field(description="Only what belongs to this course.")] = None
    language: Annotated[Language | None, Field(description="Only code in this language.")] = None
    only_validated: Annotated[bool, Field(description="Only code that has passed validation.")] = False
    since: Annotated[Moment | None, Field(description="Only text written since.")] = None
    mode: Annotated[Mode, Field(description="Meaning, words, or both.")] = Mode.HYBRID
    diversity: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="Above 0, hits differ more.")] = 0.0
    explain: Annotated[bool, Field(description="Say how each hit came about.")] = False
    wait_for: Annotated[
        str | None,
        Field(
            pattern=rf"^{_WRITTEN.pattern}$",
            description="`type:id:version` of something you wrote: wait up to 5 s until it can be found.",
        ),
    ] = None


class SearchHit(Shown):
    """One hit, best first. Who wrote it is not said, except whether it was you."""

    entity_type: EntityType
    entity_id: str
    title: str
    heading: str
    """Where in the text it stands."""
    snippet: str
    """Plain text. Of other people it is short, and without addresses."""
    score: float
    scope: Scope
    own: bool
    chunk_no: int
    line_start: int | None
    line_end: int | None
    language: str | None
    validated: bool
    cosine: float | None
    coverage: float | None
    matched: list[str]


class SearchProvenance(Shown):
    """How the hits were found, and what about them is poorer than it could be."""

    model: str | None
    degraded: bool
    """True while an offline embedding model, or full text alone, has to do."""
    mode: Mode
    route: Route
    scope_rows: int
    candidates: int
    reranked: int
    lexical_weight: float
    terms: dict[str, float]
    short: bool
    """Fewer hits than asked for, because there are no more."""
    notes: list[str]


class SearchAnswer(Shown):
    """The hits and where they come from."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "hits": [
                        {
                            "entity_type": "course",
                            "entity_id": "course-123",
                            "title": "Go",
                            "heading": "Go > Testing",
                            "snippet": "Write table driven tests.",
                            "score": 0.71,
                            "scope": "course",
                            "own": False,
                            "chunk_no": 4,
                            "line_start": 7,
                            "line_end": 7,
                            "language": None,
                            "validated": False,
                            "cosine": None,
                            "coverage": None,
                            "matched": [],
                        }
                    ],
                    "provenance": {
                        "model": "all-minilm-l6-v2",
                        "degraded": True,
                        "mode": "hybrid",
                        "route": "exact",
                        "scope_rows": 212,
                        "candidates": 60,
                        "reranked": 212,
                        "lexical_weight": 0.3,
                        "terms": {},
                        "short": False,
                        "notes": [],
                    },
                }
            ]
        }
    )

    hits: list[SearchHit]
    provenance: SearchProvenance
    waited: bool | None
    """Whether what you wrote could be found in time; null when you did not wait."""
