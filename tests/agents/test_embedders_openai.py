"""The embedding protocol: limits of a request, base64, retries as batches, and what happens when a part fails."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import httpx
import numpy as np
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from agents.embedders_openai import OpenAIConfig, OpenAIEmbedder, fitted, packed, tokens_guess
from store.vectors import DIMENSIONS, EmbedderUnavailable, TextRefused

URL = "https://models.example/v1/embeddings"


def vector_for(text: str) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(text.encode())).normal(size=DIMENSIONS).astype("<f4")


def answer(request: httpx.Request) -> httpx.Response:
    texts: list[str] = json.loads(request.content)["input"]
    data = [
        {"object": "embedding", "index": place, "embedding": base64.b64encode(vector_for(text).tobytes()).decode()}
        for place, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return httpx.Response(200, json={"object": "list", "data": data[::-1], "model": "m", "usage": usage})


class Waits(list[float]):
    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def embedder(waits: Waits) -> OpenAIEmbedder:
    return OpenAIEmbedder(OpenAIConfig("sk-test-not-a-key", "https://models.example/v1"), sleep=waits.sleep)


@pytest.fixture
def api() -> Iterator[respx.Route]:
    with respx.mock:
        yield respx.post(URL).mock(side_effect=answer)


def sent(route: respx.Route) -> list[dict[str, Any]]:
    calls = cast("list[respx.models.Call]", list(route.calls))  # pyright: ignore[reportUnknownArgumentType]
    return [json.loads(call.request.content) for call in calls]


async def test_vectors_come_back_in_order_and_unit_length(embedder: OpenAIEmbedder, api: respx.Route) -> None:
    first, second = await embedder.embed(["one", "two"])
    expected = vector_for("one") / np.linalg.norm(vector_for("one"))
    assert np.allclose(first, expected, atol=1e-6)
    assert np.linalg.norm(second) == pytest.approx(1, abs=1e-5)
    (body,) = sent(api)
    assert body == {"input": ["one", "two"], "model": "text-embedding-3-small", "encoding_format": "base64"}


async def test_requests_stay_within_the_limits_of_inputs(embedder: OpenAIEmbedder, api: respx.Route) -> None:
    vectors = await embedder.embed([f"text {number}" for number in range(600)])
    assert len(vectors) == 600
    assert sorted(len(body["input"]) for body in sent(api)) == [88, 256, 256]


async def test_a_text_beyond_the_models_reach_is_cut(embedder: OpenAIEmbedder, api: respx.Route) -> None:
    await embedder.embed(["word " * 20_000])
    (text,) = sent(api)[0]["input"]
    assert 20_000 < len(text) <= 24_000


@given(st.lists(st.text(min_size=1, max_size=300), max_size=600))
def test_packing_keeps_every_text_once_in_order_and_within_the_token_limit(texts: list[str]) -> None:
    batches = list(packed(dict(enumerate(texts))))
    assert [place for batch in batches for place in batch] == list(range(len(texts)))
    assert all(len(batch) <= 256 for batch in batches)
    assert all(sum(tokens_guess(texts[place]) for place in batch) <= 250_000 for batch in batches)


def test_long_texts_share_a_request_only_while_their_tokens_fit() -> None:
    long = fitted("y" * 100_000)
    assert [len(batch) for batch in packed(dict(enumerate([long] * 70)))] == [31, 31, 8]


async def test_too_many_requests_is_waited_out_as_told_and_sent_again_whole(
    embedder: OpenAIEmbedder, api: respx.Route, waits: Waits
) -> None:
    replies = iter([httpx.Response(429, headers={"retry-after": "7"}), httpx.Response(503)])

    def busy_at_first(request: httpx.Request) -> httpx.Response:
        return next(replies, None) or answer(request)

    api.side_effect = busy_at_first
    assert len(await embedder.embed(["a", "b", "c"])) == 3
    assert [len(body["input"]) for body in sent(api)] == [3, 3, 3]
    assert waits[0] == 7
    assert 0 < waits[1] <= 2


@pytest.mark.parametrize("failure", [httpx.Response(500), httpx.ReadTimeout("slow"), httpx.ConnectError("gone")])
async def test_a_model_that_stays_away_is_given_up_for_now(
    embedder: OpenAIEmbedder, api: respx.Route, waits: Waits, failure: httpx.Response | Exception
) -> None:
    if isinstance(failure, httpx.Response):
        api.mock(return_value=failure)
    else:
        api.mock(side_effect=failure)
    with pytest.raises(EmbedderUnavailable, match="5 times"):
        await embedder.embed(["a"])
    assert api.call_count == 5
    assert len(waits) == 4


async def test_a_refused_key_is_not_tried_again(embedder: OpenAIEmbedder, api: respx.Route) -> None:
    api.mock(return_value=httpx.Response(401, json={"error": {"message": "no"}}))
    with pytest.raises(EmbedderUnavailable, match="key"):
        await embedder.embed(["a"])
    assert api.call_count == 1


async def test_one_bad_text_is_found_and_the_others_keep_their_vectors(
    embedder: OpenAIEmbedder, api: respx.Route
) -> None:
    def picky(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400) if b"poison" in request.content else answer(request)

    api.side_effect = picky
    with pytest.raises(TextRefused) as caught:
        await embedder.embed(["a", "b", "poison", "d", ""])
    assert sorted(caught.value.refused) == [2, 4]
    assert sorted(caught.value.embedded) == [0, 1, 3]
    assert np.allclose(caught.value.embedded[3], vector_for("d") / np.linalg.norm(vector_for("d")), atol=1e-6)


async def test_batches_that_were_answered_survive_the_failure_of_another(
    embedder: OpenAIEmbedder, api: respx.Route
) -> None:
    def half(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if b'"text 300"' in request.content else answer(request)

    api.side_effect = half
    with pytest.raises(EmbedderUnavailable) as caught:
        await embedder.embed([f"text {number}" for number in range(400)])
    assert sorted(caught.value.embedded) == list(range(256))


def encoded(numbers: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(numbers.astype("<f4").tobytes()).decode()


FAULTS: dict[str, Callable[[list[dict[str, object]]], object]] = {
    "too few": lambda data: data.pop(),
    "wrong index": lambda data: data[0].update(index=7),
    "wrong size": lambda data: data[0].update(embedding=encoded(np.ones(768))),
    "not a number": lambda data: data[0].update(embedding=encoded(np.full(DIMENSIONS, np.nan))),
    "no direction": lambda data: data[0].update(embedding=encoded(np.zeros(DIMENSIONS))),
    "no base64": lambda data: data[0].update(embedding="not base64!"),
    "plain list": lambda data: data[0].update(embedding=[0.5] * DIMENSIONS),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_that_is_not_the_vectors_asked_for_is_never_stored(
    embedder: OpenAIEmbedder, api: respx.Route, fault: str
) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        body = answer(request).json()
        FAULTS[fault](body["data"])
        return httpx.Response(200, json=body)

    api.side_effect = reply
    with pytest.raises(EmbedderUnavailable, match="answered"):
        await embedder.embed(["a", "b"])


def test_the_key_is_not_shown() -> None:
    assert "sk-" not in repr(OpenAIConfig("sk-test-not-a-key"))
