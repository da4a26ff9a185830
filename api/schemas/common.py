"""Building blocks of all schemas: strict by default, with the limits the database and the event log share."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, Strict

T = TypeVar("T")

MAX_LIMIT = 200
MAX_SKIP = 1_000_000
_FIRST_YEAR, _LAST_YEAR = 1970, 9000

_CONTROL_FREE = r"^[^\x00-\x1f\x7f]+$"


def _only_text(value: object) -> object:
    # In JSON a time is text; pydantic would also read a number as seconds since 1970, or as milliseconds.
    if isinstance(value, str) and not value.strip().lstrip("+-").replace(".", "", 1).isdigit():
        return value
    raise ValueError("must be a time in ISO 8601 with a time zone, such as 2026-01-31T12:00:00Z")


def _in_range(value: datetime) -> datetime:
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise ValueError(f"must lie between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return value.astimezone(UTC)


Moment = Annotated[AwareDatetime, Strict(False), BeforeValidator(_only_text), AfterValidator(_in_range)]
Id = Annotated[UUID, Strict(False)]
Identifier = Annotated[str, Field(min_length=1, max_length=255, pattern=_CONTROL_FREE)]
"""An opaque id of a user or a course, perhaps of another service."""
PathId = Annotated[str, Path(min_length=1, max_length=255, pattern=_CONTROL_FREE)]
Title = Annotated[str, Field(min_length=1, max_length=300, pattern=r"\S")]
Prose = Annotated[str, Field(max_length=20_000)]
Language = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9+#._ -]+$")]
Minutes = Annotated[int, Field(ge=1, le=525_600)]
Percentage = Annotated[float, Field(ge=0, le=100)]
Details = Annotated[dict[str, JsonValue], Field(max_length=200)]
"""Free data of the client's own: a JSON object with at most 200 members."""


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


LEFT_OUT: Any = Field(default=None, json_schema_extra=_without_default)
"""Default of a member that may be left out but, once sent, needs a value of its type."""


class Body(BaseModel):
    """A request body: no unknown members, no silent conversions, no numbers that are not numbers."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
    )

    def given(self) -> dict[str, object]:
        """The members the client sent, and only those."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Shown(BaseModel):
    """What an answer holds."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Paging(BaseModel):
    """Which part of a listing to return."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    skip: Annotated[int, Field(ge=0, le=MAX_SKIP, description="How many items to pass over.")] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many items to return at most.")] = 50


class Created(Paging):
    """Paging, and a range of creation times."""

    created_from: Annotated[Moment | None, Field(description="Created at or after this time.")] = None
    created_to: Annotated[Moment | None, Field(description="Created at or before this time.")] = None


class Listing(BaseModel, Generic[T]):
    """One page of a listing; `total` counts the items of all pages."""

    items: list[T]
    total: int
    skip: int
    limit: int
