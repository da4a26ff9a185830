"""Material as a planner gets it."""

import json

from langchain_core.messages import ToolMessage

from graphs.planning_state import collect


def test_passages_of_a_course_come_in_its_own_order_under_their_headings_once() -> None:
    def hit(entity: str, heading: str, lines: str) -> dict[str, object]:
        return {"entity_type": "course", "entity_id": entity, "title": "Rust", "heading": heading, "lines": lines}

    hits = [
        hit("rust", "Rust > Rust > Week 10", "90-95"),
        hit("go", "Go", "1-3"),
        hit("rust", "Rust > Rust > Week 2", "9-20"),
    ]
    found = collect([ToolMessage(json.dumps({"hits": hits}), tool_call_id="1")])
    assert [(each["id"], each["heading"]) for each in found] == [
        ("E1", "Rust > Week 2"),
        ("E2", "Rust > Week 10"),
        ("E3", "Go"),
    ]
