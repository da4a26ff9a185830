"""What a tool knows of its caller: identity, a way to the database, the clock. Nothing of it is in a model's schema."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from langchain_core.tools import BaseTool, StructuredTool
from langgraph.prebuilt import ToolRuntime
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from store.database import Transaction
from store.principal import Principal
from store.vectors import Embedder


class IdentityMissing(PermissionError):
    """This run carries no identity; start it through the service, or sign in where LangGraph Server runs it."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or str(self.__doc__))


@dataclass(frozen=True, slots=True)
class LearnerContext:
    """The run context of all graphs. The service fills it from the caller's token; it has no default user."""

    user_id: str
    role: str = "learner"
    courses: tuple[str, ...] = ()
    """Courses claimed by an external issuer; enrolments are read from the database."""
    course_id: str | None = None
    """The course the learner is working in, if the client says so."""
    locale: str = "en"
    now: datetime | None = None
    """A frozen clock for evaluations; the real one when absent."""
    hint_policy: str = "ladder"


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What `graphs.calls` hands to a tool as `runtime.context`."""

    learner: LearnerContext
    principal: Principal
    embedder: Embedder
    now: datetime
    transaction: Callable[[], AbstractAsyncContextManager[Transaction]]
    """Opens the caller's transaction; in a writing tool it is the one that also holds the ledger row."""
    new_id: Callable[[], UUID]
    """Ids for new rows, the same ones whenever this very call is executed again."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic take it as it is: it is handed over by code, never parsed."""
        return core_schema.is_instance_schema(cls)


Runtime = ToolRuntime[ToolContext, Any]


class Effect(StrEnum):
    """What a call may do, which decides where it may be offered."""

    READ = "read"
    FOREIGN_READ = "foreign_read"
    """Returns text written by other people: never offered in a step that can write."""
    WRITE = "write"
    DESTROY = "destroy"
    """Cannot be undone by another call: always asks the learner first."""


def verb(effect: Effect) -> Callable[[Callable[..., Any]], BaseTool]:
    """Turn an async function into a tool that carries its effect."""

    def make(function: Callable[..., Any]) -> BaseTool:
        # The schema is built from the annotations; the recursive JSON type of the answer cannot be resolved there.
        function.__annotations__.pop("return", None)
        return StructuredTool.from_function(coroutine=function, metadata={"effect": effect.value})

    return make


def effect_of(tool: BaseTool) -> Effect:
    """The effect of a tool; one that declares none is taken for the most dangerous."""
    return Effect(cast(str, (tool.metadata or {}).get("effect", Effect.DESTROY)))
