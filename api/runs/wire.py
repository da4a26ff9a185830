"""How values of a graph become JSON: messages, models, dataclasses, and whatever else a state may hold."""

import dataclasses
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeGuard, cast

import orjson
from langchain_core.messages import BaseMessage
from langgraph.types import Interrupt, Send
from pydantic import BaseModel

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def dumps(value: object) -> str:
    """Return JSON text. Never raises: what has no JSON form is shown by its type name, lone surrogates are replaced."""
    try:
        text = orjson.dumps(value, default=_default, option=_OPTIONS)
    except (TypeError, RecursionError):
        text = orjson.dumps(_cleaned(value, 0), default=_default, option=_OPTIONS)
    return text.decode().replace("\\u0000", "\\ufffd")


def plain(value: object) -> Any:  # noqa: ANN401 - any JSON
    """Return `value` as plain JSON data."""
    return orjson.loads(dumps(value))


def _default(value: object) -> object:
    if isinstance(value, BaseMessage):
        return value.__dict__  # equals model_dump() for messages, at a tenth of its 3.5 microseconds
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, Interrupt):
        return {"value": value.value, "id": value.id}
    if isinstance(value, Send):
        return {"node": value.node, "args": value.arg}
    return _container(value)


def _container(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, set | frozenset | deque):
        return list(cast("set[object]", value))
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    if isinstance(value, BaseException):
        return {"error": type(value).__name__, "message": "An internal error occurred"}
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return f"<{type(value).__name__}>"


def _cleaned(value: object, depth: int) -> object:
    """Replace what orjson refuses: surrogates, huge integers, keys of odd types, nesting without end."""
    if depth > 200:
        return "<too deep>"
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 63:
        return str(value)
    if isinstance(value, BaseMessage):
        value = value.__dict__
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(_cleaned(key, depth + 1)): _cleaned(item, depth + 1) for key, item in items}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [_cleaned(item, depth + 1) for item in cast("list[object]", value)]
    return value
