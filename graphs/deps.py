"""The one composition root of the graphs: everything a node needs from the outside arrives in `Deps`."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from agents import hints, planner, reviewer, suggester
from agents.models import ModelRole, Models, ModelSettings, open_models
from agents.offline import Rule
from store.database import Transaction
from store.principal import Origin, Principal
from store.vectors import Embedder

__all__ = [
    "Budget",
    "Deps",
    "Door",
    "ModelRole",
    "ModelSettings",
    "Models",
    "offline_rules",
    "open_models",
]


class Door(Protocol):
    """The one way to the database: `store.database.Database`, or the lazy one that LangGraph Server uses."""

    def transaction(
        self, principal: Principal, origin: Origin | None = None
    ) -> AbstractAsyncContextManager[Transaction]: ...


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run may spend before it has to stop and say so."""

    tool_calls: int = 40
    model_calls: int = 16
    tokens: int = 200_000


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Deps:
    """What `build(deps)` of each graph receives."""

    database: Door
    models: Models
    embedder: Embedder
    clock: Callable[[], datetime] = utc_now
    budget: Budget = Budget()


def offline_rules() -> dict[str, Rule]:
    """Return the rules of all agents, for the model that stands in when none is configured."""
    return {**planner.RULES, **reviewer.RULES, **hints.RULES, **suggester.RULES}
