"""The model factory against a fake OpenAI-compatible server: forms of structure, retries, failures, secrets."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import respx
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from agents.failures import FailureKind, ModelFailure, translated
from agents.models import Form, ModelRole, Models, ModelSettings, Usage, open_models
from agents.offline import NOT_A_MODEL, OfflineChatModel, facts_message
from tests.agents import openai as fake

ASK = [HumanMessage("How many?")]
GOOD = {"animal": "cat", "legs": 4}


class Count(BaseModel):
    """A small structure."""

    animal: str
    legs: int


@pytest.fixture
async def models() -> AsyncGenerator[Models]:
    settings = ModelSettings(api_key=SecretStr("sk-test-1"), base_url=fake.BASE, plan="big", explain="small", timeout=2)
    async with open_models(settings, {}) as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without their pauses."""

    async def at_once(*_: Any) -> None:
        return None

    monkeypatch.setattr("anyio.sleep", at_once)


@respx.mock
async def test_structure_is_asked_for_strictly_where_the_server_can(models: Models) -> None:
    route = respx.post(fake.URL).mock(fake.answer(json.dumps(GOOD)))
    got = await models.structured(ModelRole.PLAN, Count, ASK)
    sent = json.loads(route.calls.last.request.content)
    assert got.value == Count(animal="cat", legs=4)
    assert (got.usage, got.repairs) == (Usage(1, 11, 5), 0)
    assert sent["model"] == "big"
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert sent["response_format"]["json_schema"]["schema"]["additionalProperties"] is False
    assert route.calls.last.request.headers["authorization"] == "Bearer sk-test-1"


@respx.mock
async def test_a_server_without_schemas_is_asked_by_tool_then_in_words(models: Models) -> None:
    def choosy(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if "response_format" in body or "tools" in body:
            return fake.problem(400, "unsupported")
        return fake.answer(f"Sure!\n```json\n{json.dumps(GOOD)}\n```")

    route = respx.post(fake.URL).mock(side_effect=choosy)
    assert (await models.structured(ModelRole.PLAN, Count, ASK)).value.legs == 4
    assert route.call_count == 3
    assert models.forms[ModelRole.PLAN] is Form.PROMPT
    await models.structured(ModelRole.PLAN, Count, ASK)
    assert route.call_count == 4


@respx.mock
async def test_structure_in_a_tool_call_is_understood(models: Models) -> None:
    def choosy(request: httpx.Request) -> httpx.Response:
        if "response_format" in json.loads(request.content):
            return fake.problem(422, "unsupported")
        return fake.answer(calls=[("Count", GOOD)])

    respx.post(fake.URL).mock(side_effect=choosy)
    assert (await models.structured(ModelRole.PLAN, Count, ASK)).value.animal == "cat"


@pytest.mark.parametrize(
    "bad",
    [
        fake.answer("{not json"),
        fake.answer(""),
        fake.answer("I would rather not."),
        fake.answer('{"animal": "cat", "legs": "many"}'),
        fake.answer('{"animal": "cat"}'),
        fake.answer(calls=[("Count", '{"animal": ')]),
        fake.answer(calls=[("Count", '{"animal": "half a pair: \\ud83d", "legs": 4}')]),
        fake.answer("[1, 2]"),
    ],
)
@respx.mock
async def test_a_malformed_answer_is_shown_its_mistake_once(models: Models, bad: httpx.Response) -> None:
    route = respx.post(fake.URL).mock(side_effect=[bad, fake.answer(json.dumps(GOOD))])
    got = await models.structured(ModelRole.PLAN, Count, ASK)
    assert (got.value.legs, got.repairs, got.usage.calls) == (4, 1, 2)
    assert "does not fit" in json.loads(route.calls.last.request.content)["messages"][-1]["content"]


@respx.mock
async def test_an_answer_that_stays_malformed_is_a_typed_failure(models: Models) -> None:
    respx.post(fake.URL).mock(fake.answer("{not json"))
    with pytest.raises(ModelFailure) as caught:
        await models.structured(ModelRole.PLAN, Count, ASK)
    assert caught.value.kind is FailureKind.MALFORMED


@pytest.mark.parametrize(
    ("reply", "kind", "tries"),
    [
        (fake.problem(429, headers={"retry-after": "1"}), FailureKind.RATE_LIMITED, 3),
        (fake.problem(500), FailureKind.UNAVAILABLE, 3),
        (fake.problem(503), FailureKind.UNAVAILABLE, 3),
        (httpx.ReadTimeout("slow"), FailureKind.TIMEOUT, 3),
        (httpx.ConnectError("refused"), FailureKind.UNAVAILABLE, 3),
        (fake.problem(401), FailureKind.UNAUTHORISED, 1),
        (fake.problem(403), FailureKind.UNAUTHORISED, 1),
        (fake.problem(404), FailureKind.REFUSED, 1),
        (httpx.Response(200, text="<html>proxy</html>"), FailureKind.MALFORMED, 1),
        (fake.answer('{"animal": "c', finish="length"), FailureKind.CUT_OFF, 1),
    ],
)
@respx.mock
async def test_failures_are_typed_retried_where_that_helps_and_say_nothing_of_the_server(
    models: Models, quick: None, reply: Any, kind: FailureKind, tries: int
) -> None:
    how: Any = {"side_effect" if isinstance(reply, Exception) else "return_value": reply}
    route = respx.post(fake.URL).mock(**how)
    with pytest.raises(ModelFailure) as caught:
        await models.structured(ModelRole.PLAN, Count, ASK, repairs=0)
    assert caught.value.kind is kind
    assert route.call_count == tries
    assert "SECRET" not in str(caught.value)
    assert "sk-test" not in str(caught.value)


@respx.mock
async def test_a_busy_server_is_asked_again_and_answers(models: Models, quick: None) -> None:
    respx.post(fake.URL).mock(
        side_effect=[fake.problem(429, headers={"retry-after": "1"}), fake.answer(json.dumps(GOOD))]
    )
    assert (await models.structured(ModelRole.PLAN, Count, ASK)).value.legs == 4


@respx.mock
async def test_words_stream_as_they_come(models: Models) -> None:
    respx.post(fake.URL).mock(fake.stream(["Learn", " in", " steps."]))
    with translated():
        words = [chunk.text async for chunk in models.chat(ModelRole.EXPLAIN).astream(ASK)]
    assert "".join(words) == "Learn in steps."


@respx.mock
async def test_a_stream_that_breaks_off_is_a_failure_not_an_answer(models: Models) -> None:
    respx.post(fake.URL).mock(fake.cut(["Half", " an"]))
    with pytest.raises(ModelFailure) as caught, translated():
        async for _ in models.chat(ModelRole.EXPLAIN).astream(ASK):
            pass
    assert caught.value.kind is FailureKind.CUT_OFF


async def test_every_role_may_have_its_own_model(models: Models) -> None:
    assert {role: models.name(role) for role in ModelRole} == {"plan": "big", "review": "gpt-4.1", "explain": "small"}
    chosen: Any = models.chat(ModelRole.PLAN)
    assert isinstance(chosen, ChatOpenAI)
    assert (chosen.request_timeout, chosen.max_retries) == (2, 2)


def test_settings_do_not_show_the_key() -> None:
    assert "sk-test" not in repr(ModelSettings(api_key=SecretStr("sk-test-1")))


async def test_without_a_server_the_rules_answer_and_say_what_they_are() -> None:
    models = open_models(ModelSettings(), {"count": lambda facts, _: Count(animal=facts["animal"], legs=4)})
    assert models.offline
    assert isinstance(models.chat(ModelRole.PLAN), OfflineChatModel)
    got = await models.structured(ModelRole.PLAN, Count, [facts_message("count", animal="añejo")])
    assert got.value.animal == "añejo"
    for locale, words in NOT_A_MODEL.items():
        said = await models.chat(ModelRole.PLAN).ainvoke([facts_message("no such step", locale=locale)])
        assert said.text == words


async def test_the_offline_model_streams_and_loses_no_character() -> None:
    text = "Uno, dos:\n\n- tres  cuatro\n\tcinco "

    def say(_: Any, __: Any) -> str:
        return text

    models = open_models(ModelSettings(), {"say": say})
    pieces = [chunk.text async for chunk in models.chat(ModelRole.PLAN).astream([facts_message("say")])]
    assert "".join(pieces) == text
    assert len(pieces) > 5
