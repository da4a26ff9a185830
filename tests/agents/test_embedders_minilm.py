"""The offline model equals sentence-transformers, whose answers lie in golden_minilm/, and refuses other weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from agents.embedders_minilm import MiniLMEmbedder, WeightsMissing, weights_folder
from agents.embedders_wordpiece import WordPiece
from store.vectors import DIMENSIONS

GOLDEN = Path(__file__).parent / "golden_minilm"


TEXTS: list[str] = json.loads((GOLDEN / "texts.json").read_text())
TOKENS: list[list[int]] = json.loads((GOLDEN / "tokens.json").read_text())


@pytest.fixture(scope="module")
def minilm() -> MiniLMEmbedder:
    return MiniLMEmbedder(weights_folder())


async def equals_sentence_transformers(minilm: MiniLMEmbedder, texts: list[str]) -> bool:
    ours = np.stack(await minilm.embed(texts))
    theirs = np.load(GOLDEN / "vectors.npy")[[TEXTS.index(text) for text in texts]]
    assert ours.shape == (len(texts), DIMENSIONS)
    assert not ours[:, 384:].any()
    return bool(np.abs(ours[:, :384] - theirs).max() < 1e-5)


async def test_vectors_equal_sentence_transformers_to_five_digits(minilm: MiniLMEmbedder) -> None:
    assert await equals_sentence_transformers(minilm, [text for text in TEXTS if len(text) < 200][::2])


@pytest.mark.chaos
async def test_vectors_of_the_whole_golden_set_equal_sentence_transformers(minilm: MiniLMEmbedder) -> None:
    assert await equals_sentence_transformers(minilm, TEXTS)


def test_tokens_equal_the_reference_tokenizer() -> None:
    vocabulary = (weights_folder() / "vocab.txt").read_text().split("\n")[:-1]
    tokens = WordPiece(vocabulary, 256)
    assert [tokens.encode(text) for text in TEXTS] == TOKENS


async def test_a_vector_does_not_depend_on_its_neighbours_in_the_batch(minilm: MiniLMEmbedder) -> None:
    together = await minilm.embed(TEXTS[:4])
    alone = [(await minilm.embed([text]))[0] for text in TEXTS[:4]]
    assert np.abs(np.stack(together) - np.stack(alone)).max() < 1e-5


async def test_a_paraphrase_is_nearer_than_a_stranger(minilm: MiniLMEmbedder) -> None:
    goal, same, other = await minilm.embed(
        ["Get better at speaking in front of people", "Improve my public speaking", "Fix the login bug in the shop"]
    )
    assert goal @ same > goal @ other + 0.3


async def test_nothing_asked_nothing_answered(minilm: MiniLMEmbedder) -> None:
    assert await minilm.embed([]) == []


async def test_other_weights_are_refused(tmp_path: Path) -> None:
    shutil.copytree(weights_folder(), tmp_path / "model")
    with (tmp_path / "model" / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\x01")
    with pytest.raises(WeightsMissing, match="sha256"):
        MiniLMEmbedder(tmp_path / "model").load()
    with pytest.raises(WeightsMissing, match="cannot be read"):
        MiniLMEmbedder(tmp_path).load()
