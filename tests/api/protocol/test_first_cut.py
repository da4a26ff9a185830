"""The thin way through: create a thread, stream a run, meet the question, answer it."""

from typing import Any, cast

from langgraph_sdk.client import LangGraphClient


async def test_streams_a_chat_in_all_modes(client: LangGraphClient) -> None:
    thread = await client.threads.create()
    parts: list[Any] = [
        part
        async for part in client.runs.stream(
            thread["thread_id"],
            "echo",
            input={"messages": [{"role": "user", "content": "one two three"}]},
            stream_mode=["values", "updates", "messages-tuple", "custom"],
        )
    ]
    events = [part.event for part in parts]
    assert events[0] == "metadata"
    assert events[-1] == "end"
    assert {"values", "updates", "messages", "custom"} <= set(events)
    spoken = "".join(part.data[0]["content"] for part in parts if part.event == "messages")
    assert spoken == "ONE TWO THREE "
    assert [part.data for part in parts if part.event == "custom"] == [{"about": "to answer"}]
    final = [part.data for part in parts if part.event == "values"][-1]
    assert final["messages"][-1]["content"] == "ONE TWO THREE "


async def test_meets_the_question_and_answers_it(client: LangGraphClient) -> None:
    thread = await client.threads.create()
    thread_id = thread["thread_id"]
    first: list[Any] = [
        part async for part in client.runs.stream(thread_id, "approval", input={"topic": "rust"}, stream_mode="values")
    ]
    question = first[-2].data["__interrupt__"][0]
    assert question["value"] == {"question": "Do rust?"}
    waiting = await client.threads.get(thread_id)
    assert waiting["status"] == "interrupted"
    assert [item["id"] for items in waiting["interrupts"].values() for item in items] == [question["id"]]
    second = cast("Any", await client.runs.wait(thread_id, "approval", command={"resume": "yes"}))
    assert second["log"] == ["proposed rust for ada", "answer yes", "done"]
    assert (await client.threads.get(thread_id))["status"] == "idle"
