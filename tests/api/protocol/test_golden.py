"""Every stream mode says what LangGraph's own server says."""

import orjson
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.api.protocol.golden import CASES, FOLDER, MODES, recorded


@pytest.mark.parametrize("case", CASES)
async def test_frames_are_those_of_the_reference(client: LangGraphClient, case: str) -> None:
    expected = orjson.loads((FOLDER / f"{case}.json").read_bytes())
    graph, runs = CASES[case]
    for mode in MODES:
        assert await recorded(client, graph, runs, mode) == expected[mode], mode
