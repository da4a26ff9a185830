"""The agent every server of the serving bench runs: ask the model, call one tool, ask again."""

import os
from typing import Annotated, Any

import httpx
from langchain_core.messages import AnyMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import SecretStr
from typing_extensions import TypedDict

from agents.lean_completions import install


class State(TypedDict):
    """A conversation."""

    messages: Annotated[list[AnyMessage], add_messages]


@tool
def lookup(topic: str) -> str:
    """Look something up."""
    return f"Facts about {topic}."


def build(*, lean: bool = False) -> StateGraph[Any, Any, Any, Any]:
    """Return the agent, talking to the fake server at FAKE_MODEL_URL; `lean` as our own factory builds models."""
    client = httpx.AsyncClient()
    if lean:
        from httpx_aiohttp import HttpxAiohttpClient  # noqa: PLC0415 - the other servers' environments lack it

        client = HttpxAiohttpClient()
    chat = ChatOpenAI(
        model="fake",
        base_url=os.environ["FAKE_MODEL_URL"],
        api_key=SecretStr("none"),
        http_client=httpx.Client(),
        http_async_client=client,
    )
    if lean:
        chat = install(chat, client)
    model = chat.bind_tools([lookup])

    async def ask(state: State) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_node("tools", ToolNode([lookup]))
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", tools_condition, ["tools", END])
    builder.add_edge("tools", "ask")
    return builder
