"""Chooses the embedder: the API when there is a key, MiniLM when its weights are here, hashing otherwise."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final, Protocol

import numpy as np

from agents.embedders_hash import HashEmbedder
from agents.embedders_minilm import MiniLMEmbedder, WeightsMissing, weights_folder
from store.vectors import Embedder, Vector

_log = logging.getLogger(__name__)
_REMEMBERED: Final = 2048
_QUERY_TEXTS: Final = 4


class Offline(StrEnum):
    """What serves without a key: the best there is, or one by name."""

    AUTO = "auto"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class EmbedderConfig:
    """What the deployment has to embed with."""

    openai_api_key: str | None = None
    openai_base_url: str | None = None
    offline: Offline = Offline.AUTO
    """`hash` keeps tests free of 90 MB of weights."""

    def __repr__(self) -> str:
        return f"EmbedderConfig(openai={self.openai_api_key is not None}, offline={self.offline})"


class SharedCache(Protocol):
    """Vectors remembered by several processes together; a cache that fails answers nothing and never raises."""

    async def get(self, key: str) -> bytes | None:
        """Return the remembered bytes."""
        ...

    async def put(self, key: str, value: bytes) -> None:
        """Remember the bytes for a while."""
        ...


class Embedders:
    """The embedder in use and the others this process could use, because an index may still be in another model.

    Few texts at a time are queries, and queries repeat: those are remembered here, and in `shared` if there is one.
    """

    def __init__(self, available: Sequence[Embedder], shared: SharedCache | None = None) -> None:
        self._available = {embedder.model: embedder for embedder in available}
        self._first = available[0]
        self._shared = shared
        self._remembered: OrderedDict[str, Vector] = OrderedDict()

    @property
    def model(self) -> str:
        """The model this process prefers."""
        return self._first.model

    @property
    def degraded(self) -> bool:
        """True without an API key."""
        return self._first.degraded

    @property
    def chunk_chars(self) -> int:
        """What the preferred model takes in."""
        return self._first.chunk_chars

    def of(self, model: str) -> "Embedders | None":
        """Return this set with `model` in front, or None if it is not available."""
        if model == self.model:
            return self
        if model not in self._available:
            return None
        wanted = self._available[model]
        return Embedders([wanted, *(e for e in self._available.values() if e is not wanted)], self._shared)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Embed with the preferred model."""
        if not 0 < len(texts) <= _QUERY_TEXTS:
            return await self._first.embed(texts)
        keys = [f"{self.model}:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}" for text in texts]
        known = {key: vector for key in keys if (vector := await self._recall(key)) is not None}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            fresh = dict(zip(missing, await self._first.embed(list(missing.values())), strict=True))
            for key, vector in fresh.items():
                await self._remember(key, vector)
            known |= fresh
        return [known[key] for key in keys]

    async def _recall(self, key: str) -> Vector | None:
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        sent = await self._shared.get(key) if self._shared else None
        return np.frombuffer(sent, "<f4") if sent else None

    async def _remember(self, key: str, vector: Vector) -> None:
        self._remembered[key] = vector
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        if self._shared:
            await self._shared.put(key, vector.astype("<f4").tobytes())


def build(config: EmbedderConfig, shared: SharedCache | None = None) -> Embedders:
    """Return the embedders this deployment can use, the best one in front; the log says when that is a poor one."""
    available: list[Embedder] = []
    if config.openai_api_key:
        # The client library takes seconds to import; who has no key does not pay for it.
        from agents.embedders_openai import OpenAIConfig, OpenAIEmbedder  # noqa: PLC0415

        available.append(OpenAIEmbedder(OpenAIConfig(config.openai_api_key, config.openai_base_url)))
    if config.offline is Offline.AUTO:
        try:
            minilm = MiniLMEmbedder(weights_folder())
            if not available:
                minilm.load()
            available.append(minilm)
        except WeightsMissing as error:
            _log.warning("The offline embedding model is not in use: %s", error)
    available.append(HashEmbedder())
    if available[0].degraded:
        _log.warning("Embeddings are made by %s: poorer than the API's, and English at best.", available[0].model)
    return Embedders(available, shared)
