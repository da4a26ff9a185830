"""A case played against a model's server, recorded, and played again from the recording alone."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, convert_to_messages

from agents.offline import OfflineChatModel
from evals import datasets, worker
from evals.databases import Urls
from evals.kits import Kit
from evals.results import Trial, scored
from evals.runs import Outcome
from evals.samples import Sample
from graphs.opening import EmbedderConfig, Offline, offline_rules, open_embedder

SAMPLE = next(sample for sample in datasets.load_all() if sample.id == "goal-sql-joins")


class RulesServer(httpx.AsyncBaseTransport):
    """An OpenAI-compatible server whose model is the offline rules."""

    calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        type(self).calls += 1
        body: dict[str, Any] = json.loads(await request.aread())
        answer = OfflineChatModel(rules=offline_rules()).answer(convert_to_messages(body["messages"]), None)
        return httpx.Response(200, json=_completion(body, answer))


def _completion(body: dict[str, Any], answer: AIMessage) -> dict[str, Any]:
    calls = answer.tool_calls
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if calls and "response_format" in body:
        message["content"] = json.dumps(calls[0]["args"])
    elif calls:
        message["tool_calls"] = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["args"])}}
            for c in calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


class Nobody(httpx.AsyncBaseTransport):
    """The network, unplugged."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.url} was called")


def _play(server: tuple[Urls, Path], model: str, sample: Sample, folder: Path, *, record: bool = False) -> Trial:
    urls, scratch = server
    kit = Kit(model, folder, record=record, embedder=open_embedder(EmbedderConfig(offline=Offline.HASH)))
    orders = worker.Orders(urls, model, folder, record=record, folder=scratch)
    world = datasets.whole_world(sample, datasets.worlds())
    return scored(sample, worker.run_once(sample, 0, orders, kit, world))


def test_a_recorded_run_is_repeated_word_for_word_without_a_network(
    evals_server: tuple[Urls, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models.invalid/v1")
    monkeypatch.setattr("evals.kits.httpx.AsyncHTTPTransport", RulesServer)
    live = _play(evals_server, "openai:rules", SAMPLE, tmp_path, record=True)
    assert live.passed, (live.run.error, {name: score.explanation for name, score in live.scores.items()})
    assert live.run.spent.tokens_in == 100 * RulesServer.calls
    assert RulesServer.calls > 0

    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.setattr("evals.kits.httpx.AsyncHTTPTransport", Nobody)
    again = _play(evals_server, "replay:rules", SAMPLE, tmp_path)
    assert again.passed, again.run.error
    assert again.run.said == live.run.said

    other = SAMPLE.model_copy(update={"input": {**SAMPLE.input, "objective": "Use indexes in SQL reports"}})
    missed = _play(evals_server, "replay:rules", other, tmp_path)
    assert missed.run.outcome is Outcome.INFRA
    assert "Use indexes in SQL reports" in missed.run.error
