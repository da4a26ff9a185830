"""The hash embedder is deterministic, always answers a direction, and brings close spellings together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.embedders_hash import HashEmbedder


@given(st.lists(st.text(max_size=200), min_size=1, max_size=4))
async def test_any_text_has_a_unit_vector_and_the_same_one_each_time(texts: list[str]) -> None:
    first, second = await HashEmbedder().embed(texts), await HashEmbedder().embed(texts)
    assert np.allclose(np.linalg.norm(np.stack(first), axis=1), 1, atol=1e-5)
    assert np.array_equal(np.stack(first), np.stack(second))


async def test_spellings_of_one_identifier_are_neighbours() -> None:
    camel, snake, other = await HashEmbedder().embed(["parseJsonBody", "parse_json_body", "renderTemplate"])
    assert camel @ snake > 0.95
    assert abs(camel @ other) < 0.3


PINNED = [(774, -0.3123), (1071, 0.7809), (1184, -0.3123), (1326, 0.3123), (1395, -0.3123)]


async def test_vectors_stay_what_they_were_when_they_were_stored() -> None:
    (vector,) = await HashEmbedder().embed(["goals"])
    # Changing any constant of the embedder needs a new model name, or stored vectors stop meeting queries.
    assert [(int(place), round(float(vector[place]), 4)) for place in np.flatnonzero(vector)] == PINNED
