"""Recorded traffic: canonical requests, no secrets on disk, a miss that shows the difference and calls nobody."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from evals.cassettes import Miss, Recording, Replaying, canonical, key_of, path_of

URL = "https://models.example/v1/chat/completions"


def _body(text: str, call: str = "call_abc") -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [
            {"role": "user", "content": text},
            {"role": "assistant", "tool_calls": [{"id": call, "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": call, "content": "{}"},
        ],
        "user": "left out",
    }


class Server(httpx.AsyncBaseTransport):
    """A model's server that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        return httpx.Response(200, json={"answer": self.calls, "echo": "sk-abcdefghijklmnop"})


async def _ask(transport: httpx.AsyncBaseTransport, body: dict[str, Any]) -> Any:
    async with httpx.AsyncClient(transport=transport) as client:
        return (await client.post(URL, json=body, headers={"authorization": "Bearer sk-secretsecret"})).json()


def test_requests_that_differ_in_chance_ids_only_are_the_same() -> None:
    one, other = (canonical(json.dumps(_body("hi", call)).encode()) for call in ("call_abc", "call_xyz9"))
    assert key_of(one) == key_of(other)
    assert key_of(one) != key_of(canonical(json.dumps(_body("ho")).encode()))
    assert "user" not in one


async def test_what_was_recorded_comes_back_in_order_without_a_call(tmp_path: Path) -> None:
    path, server = path_of(tmp_path, "openai/m", "goal-x", 0), Server()
    recording = Recording(path, server)
    first, second = await _ask(recording, _body("hi")), await _ask(recording, _body("hi"))
    assert (first["answer"], second["answer"]) == (1, 2)
    replaying = Replaying(path)
    assert (await _ask(replaying, _body("hi", "call_new")))["answer"] == 1
    assert (await _ask(replaying, _body("hi")))["answer"] == 2
    assert server.calls == 2


async def test_secrets_never_reach_the_disk(tmp_path: Path) -> None:
    path = path_of(tmp_path, "m", "goal-x", 0)
    await _ask(Recording(path, Server()), _body("my key is sk-abcdefghijklmnop"))
    assert "sk-abcdefgh" not in path.read_text()
    assert "secretsecret" not in path.read_text()


async def test_a_miss_names_the_difference(tmp_path: Path) -> None:
    path = path_of(tmp_path, "m", "goal-x", 0)
    await _ask(Recording(path, Server()), _body("plan my week"))
    replaying = Replaying(path)
    with pytest.raises(Miss, match="plan my month"):
        await _ask(replaying, _body("plan my month"))
    assert "plan my week" in replaying.misses[0]


async def test_each_trial_has_a_recording_of_its_own(tmp_path: Path) -> None:
    assert path_of(tmp_path, "m", "goal-x", 0) != path_of(tmp_path, "m", "goal-x", 1)
    with pytest.raises(Miss, match="Nothing is recorded"):
        await _ask(Replaying(path_of(tmp_path, "m", "goal-x", 1)), _body("hi"))
