"""Small graphs that show every kind of chunk a run can emit."""

import asyncio
import operator
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from typing_extensions import TypedDict

from graphs.context import LearnerContext


class Gate:
    """Holds graphs at a known place until the test lets them go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def pass_through(self) -> None:
        """Say that the place is reached, and wait there."""
        self.reached.set()
        await self.open.wait()


class Words(BaseChatModel):
    """Says the words of the last message, one chunk each, in upper case; with a gate it waits there after three."""

    gate: Any = None

    @property
    def _llm_type(self) -> str:
        return "words"

    def _words(self, messages: list[BaseMessage]) -> list[str]:
        return [f"{word} " for word in messages[-1].text.upper().split()]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("".join(self._words(messages))))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for word in self._words(messages):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for place, word in enumerate(self._words(messages)):
            if place == 3 and self.gate is not None:
                await self.gate.pass_through()
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager is not None:
                await run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk


class Chat(TypedDict):
    """A conversation."""

    messages: Annotated[list[AnyMessage], add_messages]


def echo(gate: Gate | None = None) -> StateGraph[Any, Any, Any, Any]:
    """Answer with the words of the question."""
    model = Words(gate=gate)

    async def answer(state: Chat) -> dict[str, Any]:
        get_stream_writer()({"about": "to answer"})
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(Chat, context_schema=LearnerContext)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder


class Plan(TypedDict):
    """Something to be approved."""

    topic: str
    log: Annotated[list[str], operator.add]


def approval() -> StateGraph[Any, Any, Any, Any]:
    """Ask before doing."""

    async def propose(state: Plan, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
        return {"log": [f"proposed {state['topic']} for {runtime.context.user_id}"]}

    async def ask(state: Plan) -> dict[str, Any]:
        answer = interrupt({"question": f"Do {state['topic']}?"})
        return {"log": [f"answer {answer}"]}

    async def commit(state: Plan) -> dict[str, Any]:
        return {"log": ["done"]}

    builder = StateGraph(Plan, context_schema=LearnerContext)
    builder.add_node("propose", propose)
    builder.add_node("ask", ask)
    builder.add_node("commit", commit)
    builder.add_edge(START, "propose")
    builder.add_edge("propose", "ask")
    builder.add_edge("ask", "commit")
    builder.add_edge("commit", END)
    return builder


class Steps(TypedDict):
    """A count of steps taken."""

    wanted: int
    taken: Annotated[list[int], operator.add]


def steps(gate: Gate | None = None) -> StateGraph[Any, Any, Any, Any]:
    """Take as many steps as wanted, each its own checkpoint; with a gate the third one waits there."""

    async def step(state: Steps) -> dict[str, Any]:
        if gate is not None and len(state["taken"]) == 2:
            await gate.pass_through()
        if state["wanted"] < 0:
            raise ValueError("secret-text of the graph")
        return {"taken": [len(state["taken"])]}

    def more(state: Steps) -> str:
        return "step" if len(state["taken"]) < state["wanted"] else END

    builder = StateGraph(Steps, context_schema=LearnerContext)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", more, ["step", END])
    return builder


def nested() -> StateGraph[Any, Any, Any, Any]:
    """A graph in a graph."""
    inner = echo().compile(name="inner")
    builder = StateGraph(Chat, context_schema=LearnerContext)
    builder.add_node("inner", inner)
    builder.add_edge(START, "inner")
    builder.add_edge("inner", END)
    return builder


def all_graphs(gate: Gate) -> dict[str, StateGraph[Any, Any, Any, Any]]:
    """Everything the tests serve."""
    return {
        "echo": echo(),
        "held_echo": echo(gate),
        "approval": approval(),
        "steps": steps(),
        "held_steps": steps(gate),
        "nested": nested(),
    }
