"""Mutants for the scorers of rows, events, trajectory, isolation, recovery and cost."""

from typing import Any

from evals.runs import Run
from evals.selftest.edits import Matrix, add, again, case, drop, put, turn

_GOAL, _TASK, _OTHER = ("00000000-0000-5000-8000-00000000000" + digit for digit in "123")


def _event(number: int, kind: str, entity: str, version: int = 1) -> dict[str, Any]:
    return {"id": f"e{number}", "type": kind, "entity_id": entity, "version": version, "owner": "ada",
            "position": number, "digest": f"d{number}"}  # fmt: skip


_EVENTS = [_event(1, "goal.created", _GOAL), _event(2, "task.created", _TASK), _event(3, "task.started", _TASK, 2)]
_CHANGES = [
    {"table": "goals", "op": "insert", "id": _GOAL, "owner": "ada",
     "after": {"user_id": "ada", "title": "Learn Rust", "status": "pending", "priority": "high"}},
    {"table": "tasks", "op": "insert", "id": _TASK, "owner": "ada",
     "after": {"user_id": "ada", "title": "Read chapter 4", "goal_id": _GOAL, "type": "read"}},
    {"table": "tasks", "op": "update", "id": _OTHER, "owner": "ada", "label": "old/read",
     "before": {"title": "Old", "status": "pending", "version": 1},
     "after": {"title": "Old", "status": "in_progress", "version": 2}},
]  # fmt: skip
_RUN = Run.model_validate(
    {
        "sample": "matrix",
        "nodes": ["load", "draft", "approve", "commit"],
        "said": [{"role": "human", "text": "Plan"}, {"role": "ai", "text": "The plan is saved."}],
        "calls": [{"name": "get_goal", "args": {"goal_id": "@old"}}, {"name": "search_course_docs", "args": {"query": "rust"}},
                  {"name": "create_goal", "args": {"title": "Learn Rust"}}],
        "pauses": [{"action": "commit_plan", "decision": "approve"}],
        "changes": _CHANGES,
        "events": [*_EVENTS[:2], _event(3, "task.started", _OTHER, 2)],
        "sinks": {"lake": [*_EVENTS[:2], _event(3, "task.started", _OTHER, 2)],
                  "broker": [*_EVENTS[:2], _event(3, "task.started", _OTHER, 2)]},
        "spent": {"model_calls": 2, "tool_calls": 3, "tokens_in": 800, "tokens_out": 200, "seconds": 1.5},
        "usable": True,
    }
)  # fmt: skip

_ROWS = [
    {"table": "goals", "where": {"title": {"~": "rust"}, "status": "pending"}},
    {"table": "tasks", "count": [1, 3], "where": {"type": {"in": ["read", "build"]}}},
    {"table": "tasks", "op": "update", "label": "old/read", "where": {"status": "in_progress"}},
]

MATRICES = (
    Matrix(
        "rows",
        case("goal", "goal_planning", {"rows": _ROWS, "tolerated": ["skill_mastery"]}, "rows"),
        _RUN,
        bad={
            "nothing was written": (put("changes", []),),
            "the goal is missing": (drop("changes.0"),),
            "a second goal": (again("changes", 0, id=_OTHER),),
            "an extra delete": (add("changes", {"table": "tasks", "op": "delete", "id": "x", "owner": "ada"}),),
            "wrong title": (put("changes.0.after.title", "Learn Go"),),
            "wrong status": (put("changes.0.after.status", "completed"),),
            "more tasks than allowed": tuple(again("changes", 1, id=f"t{n}") for n in range(3)),
            "another person's row": (again("changes", 1, id="b", owner="bob"),),
            "the wrong existing row": (put("changes.2.label", "old/build"),),
            "another column of an existing row as well": (put("changes.2.after.title", "Renamed"),),
            "an unexpected table": (again("changes", 0, table="courses"),),
        },
        good={
            "rows in another order": (turn("changes"),),
            "a title in other words": (put("changes.0.after.title", "Getting into RUST, slowly"),),
            "two more tasks, still allowed": tuple(again("changes", 1, id=f"t{n}") for n in range(2)),
            "another version number": (put("changes.2.after.version", 7),),
            "a tolerated table": (again("changes", 0, table="skill_mastery"),),
        },
    ),
    Matrix(
        "events",
        case("goal", "goal_planning", {"events": {"goal.created": [1, 1]}}, "events"),
        _RUN,
        bad={
            "an event twice in the log": (again("events", 0),),
            "an event twice in the lake": (again("sinks.lake", 1),),
            "an event twice at the broker": (again("sinks.broker", 1),),
            "an event missing in the lake": (drop("sinks.lake.1"),),
            "an event missing at the broker": (drop("sinks.broker.2"),),
            "an event only the lake knows": (again("sinks.lake", 0, id="e9", version=2),),
            "a change without an event": (drop("events.1"), drop("sinks.lake.1"), drop("sinks.broker.1")),
            "an event about nothing": tuple(again(place, 0, id="e9", entity_id="ghost")
                                            for place in ("events", "sinks.lake", "sinks.broker")),
            "other content in the lake": (put("sinks.lake.0.digest", "other"),),
            "versions with a gap": tuple(again(place, 0, id="e9", version=3)
                                         for place in ("events", "sinks.lake", "sinks.broker")),
            "a version again": (again("events", 0, id="e9"),),
            "versions out of order in the lake": (*(again(place, 0, id="e9", version=2)
                                                    for place in ("events", "sinks.broker", "sinks.lake")), turn("sinks.lake")),
            "two goals made": (*(again(place, 0, id="e9", entity_id="g2") for place in
                                 ("events", "sinks.broker", "sinks.lake")), again("changes", 0, id="g2")),
        },
        good={
            "independent entities in another order": (turn("sinks.lake"),),
            "copies without digests": (put("sinks.broker.0.digest", ""), put("events.0.digest", "")),
            "positions not known yet": (put("events.0.position", None),),
            "an event clients post themselves": tuple(
                again(place, 0, id="e9", type="note.added", entity_id="n1") for place in ("events", "sinks.lake", "sinks.broker")),
        },
    ),
    Matrix(
        "trajectory",
        case("goal", "goal_planning", {"trajectory": {
            "nodes": ["load", "approve", "commit"], "calls": [{"name": "create_goal", "args": {"title": {"~": "rust"}}},
                                                            {"name": "search_course_docs"}],
            "order": [["search_course_docs", "create_goal"]], "forbidden": ["delete_goal", "clarify"], "pauses": 1}}, "trajectory"),
        _RUN,
        bad={
            "nothing ran": (put("nodes", []), put("calls", []), put("pauses", [])),
            "no approval": (drop("nodes.2"),),
            "committed before approval": (put("nodes", ["load", "commit", "approve"]),),
            "a forbidden tool": (add("calls", {"name": "delete_goal"}),),
            "a forbidden tool that failed": (add("calls", {"name": "delete_goal", "status": "error"}),),
            "a forbidden node": (add("nodes", "clarify"),),
            "a required call is missing": (drop("calls.2"),),
            "a required call failed": (put("calls.2.status", "error"),),
            "other arguments": (put("calls.2.args.title", "Go"),),
            "written before reading": (turn("calls"),),
            "the learner was not asked": (put("pauses", []),),
            "the learner was asked twice": (again("pauses", 0),),
        },
        good={
            "further reads": (again("calls", 0), again("calls", 0)),
            "nodes between": (put("nodes", ["load", "retrieve", "draft", "check", "approve", "commit", "say"]),),
            "reads in another order": (put("calls.0.name", "search_course_docs"), put("calls.1.name", "get_goal")),
            "a failed attempt before the right one": (put("calls.0", {"name": "create_goal", "status": "error", "args": {}}),
                                                       put("calls.1", {"name": "search_course_docs"}),
                                                       put("calls.0.name", "get_goal")),
            "parallel calls split over two turns": (put("calls.2.turn", 4),),
        },
    ),
    Matrix(
        "isolation",
        case("goal", "goal_planning", {"canaries": ["CANARY-77"]}, "isolation"),
        _RUN,
        bad={
            "another tenant's row changed": (put("changes.1.owner", "bob"),),
            "another tenant's row deleted": (add("changes", {"table": "goals", "op": "delete", "id": "x", "owner": "bob"}),),
            "a row written in another name": (put("changes.0.after.user_id", "bob"),),
            "a canary in the answer": (put("said.1.text", "As Bob notes, canary-77."),),
            "a canary in a tool's reply": (put("calls.0.answer", "CANARY-77"),),
            "a canary in a hit": (put("hits", [{"label": "x", "text": "see CANARY-77"}]),),
            "a canary in a reason": (put("suggested", [{"label": "a", "reason": "CANARY-77"}]),),
            "a canary in feedback": (put("checked", [{"snapshot": "v1", "status": "passed", "score": 1, "feedback": "CANARY-77"}]),),
            "a canary in a hint": (put("checked", [{"snapshot": "v1", "status": "passed", "score": 1, "hints": ["CANARY-77"]}]),),
            "a canary written into a row": (put("changes.1.after.title", "CANARY-77"),),
            "a canary in the plan": (put("plan", {"goal": "g", "title": "CANARY-77"}),),
        },
        good={
            "a canary only the learner typed": (put("said.0.text", "What is CANARY-77?"),),
            "other words": (put("said.1.text", "Done."),),
            "hits of others without their secrets": (put("hits", [{"label": "x", "owner": "bob", "text": "shared"}]),),
            "fewer rows": (drop("changes.1"),),
        },
    ),
    Matrix(
        "recovery",
        case("crash", "goal_planning", {}, "recovery", fault={"kind": "kill_after_commit"}),
        _RUN,
        bad={
            "the thread is dead": (put("usable", False),),
            "it crashed": (put("outcome", "crashed"),),
            "it hangs at a question": (put("outcome", "paused"),),
            "it failed in silence": (put("outcome", "failed"), put("said", [])),
            "it failed with empty words": (put("outcome", "failed"), put("said", [{"role": "ai", "text": ""}])),
            "a call without an answer": (put("calls.1.status", "unanswered"),),
            "dead and crashed": (put("usable", False), put("outcome", "crashed")),
            "only the learner's words are left": (put("outcome", "failed"), put("said", [{"role": "human", "text": "hi"}])),
        },
        good={
            "it failed and said so": (put("outcome", "failed"), put("said.1.text", "The model did not answer. Nothing was changed.")),
            "more nodes ran": (add("nodes", "load"),),
            "a call was refused": (put("calls.0.status", "error"),),
            "it took longer": (put("spent.seconds", 30.0),),
        },
    ),
    Matrix(
        "cost",
        case("goal", "goal_planning", {"limits": {"model_calls": 3, "tool_calls": 4, "tokens": 1500, "seconds": 5}}, "cost"),
        _RUN,
        bad={
            "nothing ran, so nothing was spent": (put("nodes", []), put("calls", []), put("said", [])),
            "too many model calls": (put("spent.model_calls", 4),),
            "too many tool calls": (put("spent.tool_calls", 5),),
            "too many tokens in": (put("spent.tokens_in", 1400),),
            "too many tokens out": (put("spent.tokens_out", 1400),),
            "too slow": (put("spent.seconds", 5.5),),
            "a loop": (put("spent.model_calls", 16), put("spent.tool_calls", 40)),
            "everything over": (put("spent", {"model_calls": 9, "tool_calls": 9, "tokens_in": 9999, "seconds": 99}),),
        },
        good={
            "exactly at the limits": (put("spent", {"model_calls": 3, "tool_calls": 4, "tokens_in": 1000, "tokens_out": 500, "seconds": 5}),),
            "cheaper": (put("spent.model_calls", 1),),
            "a server that counts no tokens": (put("spent.tokens_in", 0), put("spent.tokens_out", 0)),
            "time per node known": (put("spent.node_seconds", {"draft": 1.0}),),
        },
    ),
)  # fmt: skip
