"""Assistants and the server itself, as LangGraph's protocol has them."""

from typing import Annotated

from pydantic import BaseModel, Field

from api.schemas.common import Shown
from api.schemas.wire import Asked, Free, Limit, Offset, like


class AssistantCount(Asked):
    """Which assistants."""

    model_config = like(graph_id="goal_planning")

    graph_id: str | None = None
    name: str | None = None
    metadata: Free | None = None


class AssistantSearch(AssistantCount):
    """Which assistants, and how many."""

    model_config = like(metadata={"created_by": "system"}, limit=10)

    limit: Limit | None = None
    offset: Offset | None = None


class Assistant(Shown):
    """A graph as clients address it."""

    assistant_id: str
    graph_id: str
    config: Free
    context: Free
    metadata: Free
    name: str
    description: str | None
    version: int
    created_at: str
    updated_at: str


class GraphQuery(BaseModel):
    """How much of a graph."""

    xray: Annotated[bool | int | None, Field(description="Also inside nested graphs, to this depth.")] = None


class SubgraphsQuery(BaseModel):
    """Which nested graphs."""

    recurse: Annotated[bool | None, Field(description="Also those inside nested ones.")] = None


class DrawnGraph(Shown):
    """Nodes and edges."""

    nodes: list[Free]
    edges: list[Free]


class GraphSchemas(Shown):
    """JSON schemas of what goes into a graph and comes out of it."""

    input_schema: Free | None
    output_schema: Free | None
    state_schema: Free | None
    config_schema: Free | None
    context_schema: Free | None


class AssistantSchemas(GraphSchemas):
    """The schemas of an assistant's graph."""

    graph_id: str


class Info(Shown):
    """What this server is."""

    version: str
    langgraph_py_version: str
    server: str
    flags: dict[str, bool]
    host: Free


class Ok(Shown):
    """The process answers."""

    ok: bool
