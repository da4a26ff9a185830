"""Planning with a model that misbehaves: the run ends with a typed outcome, and nothing is half-written."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import respx
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from agents.models import ModelRole, Models, ModelSettings, open_models
from graphs.deps import Budget
from store.database import Database
from store.principal import Principal
from tests.agents import openai as fake
from tests.graphs.conftest import DepsFactory
from tests.graphs.planning import Planning, goals_of, plan


@pytest.fixture
async def models(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Models]:
    async def at_once(*_: Any) -> None:
        return None

    monkeypatch.setattr("anyio.sleep", at_once)
    async with open_models(ModelSettings(api_key=SecretStr("sk-x"), base_url=fake.BASE, timeout=2), {}) as opened:
        yield opened


def served(research: httpx.Response, *drafts: Any) -> Any:
    """A server that answers tool turns with `research` and drafts in order, the last one for ever."""
    left = list(drafts)

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if "response_format" not in body:
            return research
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    return answer


NONE: dict[str, Any] = {}
READY = fake.answer("READY")
PLAN = fake.answer(plan().model_dump_json())


@respx.mock
async def test_a_real_protocol_plans_and_commits(
    deps: DepsFactory, database: Database, learner: Principal, models: Models
) -> None:
    research = fake.answer(calls=[("list_goals", {})])
    respx.post(fake.URL).mock(side_effect=served(research, PLAN))
    run = Planning(deps(models), learner)
    state = await run.start(objective="Write a compiler")
    assert state["spent"]["input_tokens"] == 11 * state["spent"]["model_calls"]
    assert (await run.answer("approve"))["result"]["provenance"]["model"] == "gpt-4.1"
    assert len(await goals_of(database, learner)) == 1


@pytest.mark.parametrize(
    ("drafts", "status", "kind"),
    [
        ([fake.answer("{oops")], "failed", "malformed"),
        ([fake.answer('{"title": "x"}')], "failed", "malformed"),
        ([fake.answer(json.dumps({**plan().model_dump(), "goal_id": "1", "user_id": "bob"}))], "failed", "malformed"),
        ([fake.answer('{"title": "Wri', finish="length")], "failed", "cut_off"),
        ([fake.problem(429, headers={"retry-after": "1"})], "failed", "rate_limited"),
        ([fake.problem(500)], "failed", "unavailable"),
        ([httpx.ReadTimeout("slow")], "failed", "timeout"),
        ([fake.problem(401)], "failed", "unauthorised"),
    ],
)
@respx.mock
async def test_a_draft_that_fails_ends_the_run_with_its_kind(
    deps: DepsFactory, database: Database, learner: Principal, models: Models, drafts: Any, status: str, kind: str
) -> None:
    respx.post(fake.URL).mock(side_effect=served(READY, *drafts))
    run = Planning(deps(models), learner)
    done = await run.start(objective="Write a compiler")
    assert (done["result"]["status"], done["result"]["kind"]) == (status, kind)
    assert done["messages"][-1].text == done["result"]["message"]
    assert "SECRET" not in json.dumps(done["result"])
    assert await goals_of(database, learner) == []
    assert (await run.app.aget_state(run.config)).next == ()


@respx.mock
async def test_after_a_failure_the_same_thread_can_be_used_again(
    deps: DepsFactory, database: Database, learner: Principal, models: Models
) -> None:
    route = respx.post(fake.URL).mock(side_effect=served(READY, fake.problem(500)))
    run = Planning(deps(models), learner)
    await run.start(objective="Write a compiler")
    route.mock(side_effect=served(READY, PLAN))
    await run.start(objective="Write a compiler")
    assert (await run.answer("approve"))["result"]["status"] == "committed"


@pytest.mark.parametrize(
    "calls",
    [
        [("drop_database", NONE)],
        [("create_goal", {"title": "sneaky"})],
        [("delete_goal", {"goal_id": "018f0000-0000-7000-8000-000000000000"})],
        [("get_goal", {"goal_id": "018f0000-0000-7000-8000-000000000000", "user_id": "bob"})],
        [("list_goals", {"limit": "lots", "user_id": "bob"})],
        [("get_course", NONE)],
    ],
)
@respx.mock
async def test_wrong_calls_are_answered_and_planning_goes_on(
    deps: DepsFactory, database: Database, learner: Principal, models: Models, calls: Any
) -> None:
    respx.post(fake.URL).mock(side_effect=served(fake.answer(calls=calls), PLAN))
    run = Planning(deps(models), learner)
    state = await run.start(objective="Write a compiler")
    answers = [message for message in state["messages"] if message.type == "tool"]
    assert answers
    assert all(json.loads(answer.text).get("error") for answer in answers)
    assert (await run.asked())[0]["action_requests"][0]["name"] == "commit_plan"
    assert await goals_of(database, learner) == []


@pytest.mark.parametrize(
    "arguments", ['{"limit": ', '{"words": "half of a pair: \\ud83d"}', '{"limit": 1000000000000000000000000}']
)
@respx.mock
async def test_a_call_with_broken_arguments_is_not_executed(
    deps: DepsFactory, database: Database, learner: Principal, models: Models, arguments: str
) -> None:
    respx.post(fake.URL).mock(side_effect=served(fake.answer(calls=[("list_goals", arguments)]), PLAN))
    done = await Planning(deps(models), learner).start(objective="Write a compiler")
    assert (done["result"]["status"], done["result"]["kind"]) == ("failed", "malformed")


@respx.mock
async def test_a_model_that_calls_for_ever_is_stopped_by_the_budget(
    deps: DepsFactory, database: Database, learner: Principal, models: Models
) -> None:
    many = fake.answer(calls=[("list_goals", NONE)] * 30)
    route = respx.post(fake.URL).mock(side_effect=served(many, PLAN))
    run = Planning(deps(models, budget=Budget(tool_calls=40)), learner)
    state = await run.start(objective="Write a compiler")
    refused = [m for m in state["messages"] if m.type == "tool" and "used up" in m.text]
    assert state["spent"]["tool_calls"] <= 90
    assert refused
    assert route.call_count <= 6


UNDERSTOOD: dict[str, Any] = {
    "kind": "manage", "objective": "", "deadline": None, "hours_per_week": None, "level": None, "constraints": [],
}  # fmt: skip


@respx.mock
async def test_a_streamed_conversation_calls_a_tool_and_streams_its_answer(
    deps: DepsFactory, database: Database, learner: Principal, models: Models
) -> None:
    streams = [
        fake.stream_call("create_goal", {"title": "Añadir una meta"}),
        fake.stream(["Done", ",", " it is there."]),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        return streams.pop(0) if body.get("stream") else fake.answer(json.dumps(UNDERSTOOD))

    respx.post(fake.URL).mock(side_effect=answer)
    run = Planning(deps(models), learner)
    words: list[str] = []
    async for message, _ in run.app.astream(
        {"messages": [HumanMessage("add a goal")]}, run.config, context=run.context, stream_mode="messages"
    ):
        if message.type == "AIMessageChunk":
            words.append(message.text)
    assert "".join(words) == "Done, it is there."
    assert [goal.title for goal in await goals_of(database, learner)] == ["Añadir una meta"]


@respx.mock
async def test_a_tool_call_that_breaks_off_in_mid_stream_is_not_executed(
    deps: DepsFactory, database: Database, learner: Principal, models: Models
) -> None:
    whole = fake.stream_call("create_goal", {"title": "Half a goal"}).content
    cut = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=whole[: len(whole) // 2])

    def answer(request: httpx.Request) -> httpx.Response:
        return cut if json.loads(request.content).get("stream") else fake.answer(json.dumps(UNDERSTOOD))

    respx.post(fake.URL).mock(side_effect=answer)
    run = Planning(deps(models), learner)
    async for _ in run.app.astream(
        {"messages": [HumanMessage("add a goal")]}, run.config, context=run.context, stream_mode="messages"
    ):
        pass
    state = await run.app.aget_state(run.config)
    assert state.values["result"]["status"] == "failed"
    assert await goals_of(database, learner) == []


HALF = httpx.Response(
    200,
    headers={"content-type": "text/event-stream"},
    content=fake.stream(["You", " have"]).content.rsplit(b"data: {", 1)[0],
)
"""A stream that ends without saying that it is complete."""


@pytest.mark.parametrize("reply", [HALF, fake.cut(["You have", " two"]), fake.problem(500), fake.problem(429)])
@respx.mock
async def test_conversation_that_breaks_off_says_so(
    deps: DepsFactory, database: Database, learner: Principal, models: Models, reply: httpx.Response
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return fake.answer(json.dumps(UNDERSTOOD)) if "response_format" in json.loads(request.content) else reply

    respx.post(fake.URL).mock(side_effect=answer)
    run = Planning(deps(models), learner)
    async for _ in run.app.astream(
        {"messages": [HumanMessage("how many goals?")]}, run.config, context=run.context, stream_mode=["messages"]
    ):
        pass
    state = await run.app.aget_state(run.config)
    assert state.values["result"]["status"] == "failed"
    assert state.values["result"]["kind"] in {"cut_off", "unavailable", "rate_limited"}
    assert state.next == ()


async def test_the_roles_are_used_for_their_jobs(deps: DepsFactory, learner: Principal) -> None:
    from agents.scripted import ScriptedChatModel

    planner, talker = ScriptedChatModel(script=["READY", plan()]), ScriptedChatModel(script=[])
    models = Models({ModelRole.PLAN: planner, ModelRole.REVIEW: talker, ModelRole.EXPLAIN: talker})
    await Planning(deps(models), learner).start(objective="Write a compiler")
    assert (len(planner.seen), len(talker.seen)) == (2, 0)
