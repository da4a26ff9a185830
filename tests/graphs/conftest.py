"""What every test of a graph needs: dependencies with a scripted model, and a run under somebody's identity."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph

from agents.embedders_hash import HashEmbedder
from agents.models import ModelRole, Models
from agents.scripted import ScriptedChatModel
from graphs.context import LearnerContext
from graphs.deps import Deps
from store.database import Database
from store.principal import Principal

DepsFactory = Callable[..., Deps]


def scripted(*script: Any) -> Models:
    """One scripted model for all roles."""
    return Models(dict.fromkeys(ModelRole, ScriptedChatModel(script=list(script))))


def seen(models: Models) -> list[list[BaseMessage]]:
    """What a scripted model was shown, call by call."""
    model = models.chat(ModelRole.REVIEW)
    assert isinstance(model, ScriptedChatModel)
    return model.seen


def of(model: BaseChatModel) -> Models:
    """One given model for all roles."""
    return Models(dict.fromkeys(ModelRole, model))


@pytest.fixture
def deps(database: Database) -> DepsFactory:
    """Build dependencies on the test's database."""

    def make(models: Models | None = None, **more: Any) -> Deps:
        return Deps(database=database, models=models or scripted(), embedder=HashEmbedder(), **more)

    return make


def context_of(principal: Principal, **more: Any) -> LearnerContext:
    """The run context the service would write for this principal."""
    return LearnerContext(user_id=principal.user_id, role=principal.role.value, **more)


def compiled(graph: "StateGraph[Any, Any, Any, Any]", saver: Any = None) -> Any:
    """Compile a graph with a saver in memory, or the given one."""
    return graph.compile(checkpointer=saver or InMemorySaver())


def thread(name: str = "thread-1") -> dict[str, Any]:
    """The configuration of a run on a thread."""
    return {"configurable": {"thread_id": name}}


def texts(messages: Sequence[Any]) -> list[str]:
    """The words of messages, whatever form their content has."""
    return [message.text for message in messages]
