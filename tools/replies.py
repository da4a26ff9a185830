"""Short truthful JSON replies of the tools, and the error that tells the model what to try next."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import cast
from uuid import UUID

import orjson
from pydantic import ValidationError

from store.errors import StoreError
from store.event_types import JsonObject, JsonValue

TEXT_LIMIT = 400
"""A reply is read by a model that pays by the word: long descriptions are cut, and say so."""


class ToolProblem(StoreError):
    """A tool could not do what was asked; `hint` is what the model may try instead."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem} {hint}")


def json_ready(value: object) -> JsonValue:
    """Return the value as plain JSON: times end in Z, ids and enums become text, empty fields are left out."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum):
        return json_ready(value.value)
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        ready = {str(key): json_ready(item) for key, item in cast("Mapping[object, object]", value).items()}
        return {key: item for key, item in ready.items() if item not in (None, "", [], {})}
    if isinstance(value, Sequence):
        return [json_ready(item) for item in cast("Sequence[object]", value)]
    raise TypeError(f"{type(value).__name__} has no place in a tool's reply")


def clip(text: str, limit: int = TEXT_LIMIT) -> str:
    """Cut a long text and say how much is missing."""
    return text if len(text) <= limit else f"{text[:limit]}… [{len(text) - limit} more characters]"


def reply(**fields: object) -> JsonObject:
    """Build the answer of a tool from anything `json_ready` understands."""
    return {key: json_ready(value) for key, value in fields.items()}


def problem(text: str, hint: str) -> JsonObject:
    """Build the answer of a tool that did nothing."""
    return {"error": text, "try": hint}


def as_text(answer: JsonObject) -> str:
    """Render an answer for a message, keys sorted: a stored answer comes back from jsonb in another order."""
    return orjson.dumps(answer, option=orjson.OPT_SORT_KEYS).decode()


def bad_arguments(tool: str, error: ValidationError) -> JsonObject:
    """Name the arguments that do not fit, without echoing what was sent."""
    wrong = "; ".join(
        f"{'.'.join(str(part) for part in detail['loc']) or 'arguments'}: {detail['msg']}"
        for detail in error.errors()[:5]
    )
    return problem(f"{tool} was not run: {wrong}", "Correct these arguments and call it again.")
