"""Event types: every one is registered, has golden files for all its versions, and bad payloads stop at the door."""

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import PayloadRejected
from store.event_types import MAX_POSTED_BYTES, POSTABLE, SPECS, EventType, check_payload
from store.types import GoalStatus
from store.upcasters import UPCASTERS, NewerSchema, upcast

GOLDEN = Path(__file__).parent / "golden_events"
VERSIONS = [(kind, version) for kind, spec in SPECS.items() for version in range(1, spec.schema_version + 1)]


def golden(kind: EventType, version: int) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{kind}.v{version}.json").read_text())


def changed(**changes: object) -> dict[str, object]:
    return {"changes": changes}


def test_every_event_type_is_registered_and_well_named() -> None:
    assert set(SPECS) == set(EventType)
    assert len(EventType) >= 25
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", kind) for kind in EventType)


@pytest.mark.parametrize(("kind", "version"), VERSIONS)
def test_a_stored_payload_of_any_version_still_reads_as_it_did(kind: EventType, version: int) -> None:
    stored = golden(kind, version)
    lifted = upcast(kind, version, stored["payload"], to=SPECS[kind].schema_version)
    assert lifted == stored["today"]
    SPECS[kind].payload.model_validate(lifted)
    assert check_payload(kind, stored["payload"], version) == stored["payload"]


def test_every_older_version_has_its_upcaster_and_no_upcaster_is_an_orphan() -> None:
    needed = {(kind.value, version) for kind, version in VERSIONS if version < SPECS[kind].schema_version}
    assert set(UPCASTERS) == needed


def test_a_payload_from_a_newer_release_is_held_not_guessed() -> None:
    with pytest.raises(NewerSchema, match="schema version 3"):
        upcast("goal.created", 3, {}, to=1)


def test_only_client_events_can_be_posted() -> None:
    assert {kind.entity for kind in POSTABLE} == {"session", "hint", "test_run", "note"}


def test_column_values_become_json() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    goal = UUID(int=7)
    clean = check_payload(EventType.GOAL_UPDATED, changed(id=goal, status=GoalStatus.PAUSED, due_at=at))
    assert clean == {"changes": {"id": str(goal), "status": "paused", "due_at": "2026-01-02T03:04:05.000006+00:00"}}


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"a": "x\x00y"}, "NUL"),
        ({"a\x00": 1}, "NUL"),
        ({"a": "\ud800"}, "surrogate"),
        ({"a": math.nan}, "finite"),
        ({"a": math.inf}, "finite"),
        ({"a": 2**63}, "64-bit"),
        ({"a": nested(80)}, "nested deeper"),
        ({"a": {1, 2}}, "not JSON"),
        ({1: "a"}, "not text"),
        ({"a": datetime(2026, 1, 1)}, "time zone"),
        ({"a": "x" * 3_000_000}, "limit"),
    ],
)
def test_what_a_reader_could_not_load_is_refused(details: object, reason: str) -> None:
    with pytest.raises(PayloadRejected, match=reason):
        check_payload(EventType.GOAL_UPDATED, changed(details=details))


def test_the_refusal_names_the_path() -> None:
    with pytest.raises(PayloadRejected, match=r"payload\.changes\.details\.a\[1\]"):
        check_payload(EventType.GOAL_UPDATED, changed(details={"a": [0, math.nan]}))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (EventType.GOAL_UPDATED, changed(colour="red")),
        (EventType.GOAL_PROGRESS_UPDATED, changed(progress_percentage=101)),
        (EventType.GOAL_DELETED, {"changes": {"title": "x"}, "deleted": True}),
        (EventType.NOTE_ADDED, {"text": ""}),
        (EventType.NOTE_ADDED, {"text": "é" * MAX_POSTED_BYTES}),
        (EventType.TEST_RUN_REPORTED, {"passed": 1, "failed": 0}),
    ],
)
def test_a_payload_that_fits_no_model_is_refused(kind: EventType, payload: dict[str, object]) -> None:
    with pytest.raises(PayloadRejected):
        check_payload(kind, payload)


def test_unknown_types_and_versions_are_refused() -> None:
    with pytest.raises(PayloadRejected, match="no event type"):
        check_payload("goal.exploded", {})
    with pytest.raises(PayloadRejected, match="versions 1 to 2"):
        check_payload(EventType.TEST_RUN_REPORTED, {"passed": 1, "failed": 0, "skipped": 0}, 3)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), anything, max_size=3))
def test_what_passes_can_be_stored_and_loaded_unchanged(details: dict[str, object]) -> None:
    try:
        clean = check_payload(EventType.GOAL_UPDATED, changed(details=details))
    except PayloadRejected:
        return
    text = json.dumps(clean, ensure_ascii=False, allow_nan=False)
    assert "\x00" not in text
    assert json.loads(text.encode()) == clean
