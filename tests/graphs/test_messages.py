"""The message channel: what is stored, what a model's server accepts of it, what a run has spent."""

from typing import Annotated, Any, cast

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import aio
from langgraph.graph import START, StateGraph, add_messages
from typing_extensions import TypedDict

from graphs.messages import ANSWERS, Messages, Spent, add_spent, orderly, place_of, unanswered
from graphs.saver import checkpointer
from store.database import Database
from store.principal import Principal


def calls(message_id: str, *ids: str) -> AIMessage:
    return AIMessage(
        "", id=message_id, tool_calls=[{"name": f"t{i}", "args": {}, "id": call} for i, call in enumerate(ids)]
    )


def reply(call: str, text: str = "ok", place: str | None = None) -> ToolMessage:
    return ToolMessage(text, tool_call_id=call, additional_kwargs={ANSWERS: place} if place else {})


def test_calls_without_answer_are_found_even_among_repeated_ids() -> None:
    one, two = calls("m1", "", ""), calls("m2", "", "x")
    assert unanswered([one, reply("", place=place_of("m1", 1)), two]) == [(one, 0), (two, 0), (two, 1)]
    assert unanswered([one, reply(""), two, reply("x")]) == [(one, 1), (two, 0)]


def test_a_models_server_gets_each_answer_behind_its_call_and_no_orphans() -> None:
    one = calls("m1", "a", "b")
    late = [HumanMessage("hi"), one, HumanMessage("and?"), reply("b", "B"), reply("zz", "orphan"), reply("a", "A")]
    texts = [
        (m.type, m.text, [c["id"] for c in m.tool_calls] if isinstance(m, AIMessage) else []) for m in orderly(late)
    ]
    assert texts == [
        ("human", "hi", []),
        ("ai", "", ["a", "b"]),
        ("tool", "A", []),
        ("tool", "B", []),
        ("human", "and?", []),
    ]


def test_calls_that_were_never_answered_are_not_shown() -> None:
    (kept, _) = orderly([calls("m1", "a", "b"), reply("b")])
    assert isinstance(kept, AIMessage)
    assert [call["id"] for call in kept.tool_calls] == ["b"]


def test_spending_adds_up_and_starts_anew() -> None:
    spent = add_spent(add_spent(None, Spent(model_calls=1, input_tokens=5)), Spent(tool_calls=2))
    assert spent == {"model_calls": 1, "tool_calls": 2, "input_tokens": 5, "output_tokens": 0}
    assert add_spent(spent, Spent(fresh=True)) == dict.fromkeys(spent, 0)


class Old(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


class New(TypedDict, total=False):
    messages: Messages


def talking(schema: Any) -> Any:
    """A graph that answers every message."""

    async def answer(state: Any) -> dict[str, Any]:
        return {"messages": [AIMessage(f"answer {len(state['messages'])}")]}

    builder: Any = StateGraph(schema)
    return builder.add_node("answer", answer).add_edge(START, "answer")


async def test_a_thread_written_before_the_delta_channel_is_read_and_continued() -> None:
    saver, config = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    old = talking(Old).compile(checkpointer=saver)
    for text in ("one", "two"):
        await old.ainvoke({"messages": [HumanMessage(text)]}, config)
    new = talking(New).compile(checkpointer=saver)
    assert [m.text for m in (await new.aget_state(config)).values["messages"]] == ["one", "answer 1", "two", "answer 3"]
    state = await new.ainvoke({"messages": [HumanMessage("three")]}, config)
    assert [m.text for m in state["messages"]][-2:] == ["three", "answer 5"]
    again = await talking(New).compile(checkpointer=saver).aget_state(config)
    assert [m.text for m in again.values["messages"]] == [m.text for m in state["messages"]]


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_long_thread_is_stored_once_not_again_at_every_step(
    database: Database, learner: Principal, durability: str
) -> None:
    sizes: dict[str, int] = {}
    for name, schema in (("old", Old), ("new", New)):
        config = {"configurable": {"thread_id": f"{name}-{durability}"}}
        app = talking(schema).compile(checkpointer=checkpointer(database, learner))
        for turn in range(30):
            await app.ainvoke({"messages": [HumanMessage(f"{turn}: " + "word " * 60)]}, config, durability=durability)
        assert len((await app.aget_state(config)).values["messages"]) == 60
        async with database.transaction(learner) as tx:
            sizes[name] = cast(int, await tx.fetch_value(
                "SELECT (SELECT coalesce(sum(length(blob)), 0) FROM checkpoint_blobs WHERE thread_id = %(t)s)"
                " + (SELECT coalesce(sum(length(blob)), 0) FROM checkpoint_writes WHERE thread_id = %(t)s)",
                {"t": f"{name}-{durability}"},
            ))  # fmt: skip
    assert sizes["new"] * 5 < sizes["old"]


async def test_messages_are_found_however_many_steps_lie_between_them(
    database: Database, learner: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vars(aio)["_DELTA_PAGE_SIZE"] == 128
    monkeypatch.setattr(aio, "_DELTA_PAGE_SIZE", 4)
    app = talking(New).compile(checkpointer=checkpointer(database, learner))
    config = {"configurable": {"thread_id": "long"}}
    for turn in range(12):
        await app.ainvoke({"messages": [HumanMessage(f"{turn}")]}, config, durability="sync")
    found = (await app.aget_state(config)).values["messages"]
    assert [m.text for m in found if isinstance(m, HumanMessage)] == [str(turn) for turn in range(12)]
    assert len(found) == 24


def test_the_library_is_pinned_because_its_channel_is_beta() -> None:
    from importlib.metadata import version
    from pathlib import Path

    pins = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    assert f"langgraph=={version('langgraph')}" in pins
