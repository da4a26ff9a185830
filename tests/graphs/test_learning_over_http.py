"""Validation and suggestion against a fake OpenAI-compatible server: what is sent, and what its failures become."""

import json
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import httpx
import pytest
import respx
from pydantic import SecretStr

from agents.models import Models, ModelSettings
from graphs import code_validation, task_suggestion
from graphs.deps import offline_rules, open_models
from store.database import Database
from store.principal import Principal
from store.types import ValidationStatus
from tests.agents import openai as fake
from tests.graphs.conftest import DepsFactory, compiled, context_of, thread
from tests.graphs.learning import BUGGY, GOOD, working

NOTHING: dict[str, Any] = {"findings": [], "rubric": [], "summary": ""}


@pytest.fixture
async def models() -> AsyncGenerator[Models]:
    settings = ModelSettings(
        api_key=SecretStr("sk-canary-4711"), base_url=fake.BASE, review="judge", explain="teller", timeout=2, attempts=1
    )
    async with open_models(settings, offline_rules()) as opened:
        yield opened


@respx.mock
async def test_the_review_is_asked_for_strictly_and_holds_neither_ids_nor_keys(
    deps: DepsFactory, database: Database, learner: Principal, models: Models
) -> None:
    route = respx.post(fake.URL).mock(fake.answer(json.dumps(NOTHING)))
    work = await working(database, learner)
    snapshot = await work.hand_in(GOOD)
    app = compiled(code_validation.build(deps(models)))
    state = await app.ainvoke({"snapshot_id": str(snapshot.id)}, thread(), context=context_of(learner))
    sent = json.loads(route.calls.last.request.content)
    assert sent["model"] == "judge"
    schema = sent["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert not {"score", "passed", "id", "user_id", "task_id"} & set(json.dumps(schema).replace('"', " ").split())
    body = json.dumps(sent)
    for secret in ("sk-canary-4711", str(snapshot.id), str(work.task_id), str(work.goal_id), '"ada"'):
        assert secret not in body
    result = state["result"]
    assert (result["status"], result["provenance"]["model"]) == ("passed", "judge")
    assert result["provenance"]["spent"]["model_calls"] == 1
    assert "sk-canary-4711" not in json.dumps(state, default=str)


BAD_ANSWERS: dict[str, httpx.Response | Exception] = {
    "too many requests": httpx.Response(429, json={"error": {"message": "slow down sk-canary-4711"}}),
    "server error": httpx.Response(503, text="<html>down</html>"),
    "refused key": httpx.Response(401, json={"error": {"message": "bad key"}}),
    "silence": httpx.ReadTimeout("late"),
    "broken line": httpx.RemoteProtocolError("cut"),
    "no json": httpx.Response(200, text="hello"),
}


def failing(bad: httpx.Response | Exception, _: httpx.Request) -> httpx.Response:
    if isinstance(bad, Exception):
        raise bad
    return bad


@respx.mock
@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_a_failing_provider_costs_the_models_part_and_nothing_else(
    deps: DepsFactory, database: Database, learner: Principal, models: Models, name: str
) -> None:
    respx.post(fake.URL).mock(side_effect=partial(failing, BAD_ANSWERS[name]))
    work = await working(database, learner)
    snapshot = await work.hand_in(BUGGY)
    app = compiled(code_validation.build(deps(models)))
    request = {"snapshot_id": str(snapshot.id), "hint_level": 2}
    state = await app.ainvoke(request, thread(), context=context_of(learner))
    result = state["result"]
    assert (result["status"], result["recorded"]) == ("failed", True)
    assert result["provenance"]["language_model"] is False
    assert "sk-canary-4711" not in json.dumps(result)
    assert (await work.read(snapshot.id)).validation_status is ValidationStatus.FAILED
    chosen = compiled(task_suggestion.build(deps(models)))
    suggested = (await chosen.ainvoke({}, thread("other"), context=context_of(learner)))["result"]
    assert suggested["status"] == "suggested"
    assert suggested["suggestions"][0]["task_id"] == str(work.task_id)
    assert suggested["suggestions"][0]["factors"]["open_findings"] > 0
    assert suggested["provenance"]["language_model"] is False


@respx.mock
async def test_a_server_without_strict_schemas_is_asked_in_another_form(
    deps: DepsFactory, database: Database, learner: Principal, models: Models
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "response_format" in json.loads(request.content):
            return httpx.Response(400, json={"error": {"message": "response_format is not supported"}})
        words = {"items": [{"label": "S1", "reason": "It is ready to begin.", "first_step": "Open the editor."}]}
        return fake.answer(f"Sure:\n{json.dumps(words)}")

    respx.post(fake.URL).mock(side_effect=answer)
    await working(database, learner)
    app = compiled(task_suggestion.build(deps(models)))
    result = (await app.ainvoke({}, thread(), context=context_of(learner)))["result"]
    assert result["suggestions"][0]["reason"] == "It is ready to begin."
    assert result["provenance"]["model"] == "teller"
