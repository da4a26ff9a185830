"""text-embedding-3-small, asked in full batches: packed by the provider's limits, retried as batches, read as base64.

The client is the one langchain-openai builds. Its own batching is not used: it sends one batch after the other, turns
every number into a Python float, and downloads a tokenizer table.
"""

import asyncio
import base64
import binascii
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx
import numpy as np
import openai
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

from store.vectors import DIMENSIONS, EmbedderUnavailable, TextRefused, Vector, unit

MODEL: Final = "text-embedding-3-small"
_TOKENS_A_TEXT = 8000
_TOKENS_A_REQUEST = 250_000
_TEXTS_A_REQUEST = 256
_IN_FLIGHT = 4
_ATTEMPTS = 5
_LONGEST_WAIT = 30.0
_REFUSALS = (400, 413, 422)


@dataclass(frozen=True, slots=True)
class OpenAIConfig:
    """Where the model is and what opens it."""

    api_key: str
    base_url: str | None = None
    timeout: float = 20.0

    def __repr__(self) -> str:
        return f"OpenAIConfig(base_url={self.base_url!r})"


class OpenAIEmbedder:
    """Embeds through the API. `sleep` is replaced in tests that must not wait."""

    model = MODEL
    degraded = False
    chunk_chars = 1500

    def __init__(self, config: OpenAIConfig, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        # The newer client library brings its own HTTP stack; the classic one is injected so that proxies, limits and
        # tests see the same requests as everywhere else.
        self._http = httpx.AsyncClient(timeout=config.timeout)
        self._api: Any = OpenAIEmbeddings(
            model=MODEL,
            api_key=SecretStr(config.api_key),
            base_url=config.base_url,
            check_embedding_ctx_length=False,
            max_retries=0,
            http_client=httpx.Client(timeout=config.timeout),
            http_async_client=self._http,
        ).async_client
        self._sleep = sleep
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    def of(self, model: str) -> Self | None:
        """Return itself for its own model."""
        return self if model == self.model else None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one unit vector a text; texts beyond the model's reach are cut, empty ones refused."""
        answers = _Answers({}, {})
        sendable = {place: fitted(text) for place, text in enumerate(texts) if text.strip()}
        answers.refused.update({place: "the text is empty" for place in range(len(texts)) if place not in sendable})
        outcomes = await asyncio.gather(
            *(self._batch(batch, sendable, answers) for batch in packed(sendable)), return_exceptions=True
        )
        for failure in outcomes:
            if isinstance(failure, EmbedderUnavailable):
                raise EmbedderUnavailable(str(failure), answers.vectors) from failure
            if failure is not None:
                raise failure
        if answers.refused:
            raise TextRefused(answers.refused, answers.vectors)
        return [answers.vectors[place] for place in range(len(texts))]

    async def _batch(self, places: list[int], texts: dict[int, str], answers: "_Answers") -> None:
        try:
            vectors = await self._ask([texts[place] for place in places])
        except _Refused as refusal:
            if len(places) == 1:
                answers.refused[places[0]] = str(refusal)
                return
            middle = len(places) // 2  # one bad text must not take the others down: find it by halving
            await self._batch(places[:middle], texts, answers)
            await self._batch(places[middle:], texts, answers)
            return
        answers.vectors.update(zip(places, vectors, strict=True))

    async def _ask(self, texts: list[str]) -> list[Vector]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._slots:
                    answer = await self._api.create(input=texts, model=MODEL, encoding_format="base64")
                return _decoded(answer.data, len(texts))
            except openai.APIStatusError as error:
                if error.status_code in _REFUSALS:
                    raise _Refused(f"the model answered {error.status_code}") from error
                if error.status_code != 429 and error.status_code < 500:
                    raise EmbedderUnavailable(
                        f"The embedding model answered {error.status_code}: check its key."
                    ) from error
                wait, why = _pause(attempt, error.response.headers.get("retry-after")), f"answered {error.status_code}"
            except openai.APIConnectionError as error:
                wait, why = _pause(attempt, None), f"could not be reached ({type(error).__name__})"
            if attempt < _ATTEMPTS:
                await self._sleep(wait)
        raise EmbedderUnavailable(f"The embedding model {why} {_ATTEMPTS} times in a row.")  # pyright: ignore[reportPossiblyUnboundVariable]


@dataclass(frozen=True, slots=True)
class _Answers:
    vectors: dict[int, Vector]
    refused: dict[int, str]


class _Refused(Exception):
    """The request itself was refused; sending it again would change nothing."""


def tokens_guess(text: str) -> int:
    """Return no fewer tokens than `text` has, in practice: a third of plain characters, two for every other one."""
    plain = len(text.encode("ascii", "ignore"))
    return plain // 3 + 1 + 2 * (len(text) - plain)


def fitted(text: str) -> str:
    """Cut a text to what the model reads."""
    while (guess := tokens_guess(text)) > _TOKENS_A_TEXT:
        text = text[: min(len(text) - 1, len(text) * _TOKENS_A_TEXT // guess)]
    return text


def packed(texts: dict[int, str]) -> Iterator[list[int]]:
    """Group positions into requests within the limits of inputs and of tokens."""
    batch: list[int] = []
    used = 0
    for place, text in texts.items():
        cost = tokens_guess(text)
        if batch and (len(batch) == _TEXTS_A_REQUEST or used + cost > _TOKENS_A_REQUEST):
            yield batch
            batch, used = [], 0
        batch.append(place)
        used += cost
    if batch:
        yield batch


def _pause(attempt: int, retry_after: str | None) -> float:
    try:
        asked = float(retry_after or "")
    except ValueError:
        return random.uniform(0.5, 1.0) * min(2.0**attempt / 2, _LONGEST_WAIT)  # noqa: S311 - spreads load, no secret
    return min(max(asked, 0.0), _LONGEST_WAIT)


def _decoded(entries: list[Any], expected: int) -> list[Vector]:
    ordered = sorted(entries, key=lambda entry: entry.index)
    if [entry.index for entry in ordered] != list(range(expected)):
        raise EmbedderUnavailable(f"The embedding model answered {len(entries)} vectors to {expected} texts.")
    try:
        rows = [np.frombuffer(base64.b64decode(entry.embedding, validate=True), "<f4") for entry in ordered]
    except (binascii.Error, ValueError, TypeError) as error:
        raise EmbedderUnavailable("The embedding model answered something that is no base64 vector.") from error
    if any(row.shape != (DIMENSIONS,) or not np.isfinite(row).all() or not row.any() for row in rows):
        raise EmbedderUnavailable(f"The embedding model answered vectors that are not {DIMENSIONS} finite numbers.")
    return list(unit(np.stack(rows)))
