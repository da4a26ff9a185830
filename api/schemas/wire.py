"""What the schemas of LangGraph's protocol share.

They document, and by the contract test hold answers to what they say. Bodies are read leniently: `api/runs/intake.py`
decides what of one counts.
"""

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import Shown

Free: TypeAlias = dict[str, Any]
Limit = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, lt=2**31)]


def like(**example: Any) -> ConfigDict:  # noqa: ANN401 - any JSON
    """Return the config of a model with an example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class Asked(BaseModel):
    """A body. Members that are not listed here are accepted and passed over."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class Checkpoint(Asked):
    """A place in a thread's history."""

    thread_id: str | None = None
    checkpoint_ns: str | None = None
    """Of a nested graph; empty for the outermost."""
    checkpoint_id: str | None = None


class Question(Shown):
    """Something a run asked and waits for; answer it by `command.resume` or `input.respond`."""

    model_config = ConfigDict(extra="allow")

    id: str
    value: Any
