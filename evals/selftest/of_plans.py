"""Mutants for the scorers of plans, duplicates, suggestions and their explanations."""

from typing import Any

from evals.runs import Run
from evals.selftest.edits import Matrix, add, again, case, drop, put, turn


def _task(key: str, kind: str, needs: list[str], title: str, minutes: int = 60) -> dict[str, Any]:
    return {"key": key, "title": title, "kind": kind, "needs": needs, "minutes": minutes, "skills": ["rust"],
            "criteria": ["all twelve exercises pass"], "sources": ["course:rust#1"]}  # fmt: skip


_PLAN = Run.model_validate(
    {
        "sample": "matrix",
        "plan": {
            "goal": "g",
            "title": "Learn Rust",
            "evidence": ["course:rust#1", "course:rust#2"],
            "tasks": [
                _task("t1", "read", [], "Read about ownership"),
                _task("t2", "practice", ["t1"], "Practise borrowing"),
                _task("t3", "practice", ["t1"], "Practise lifetimes"),
                _task("t4", "assess", ["t2", "t3"], "Review a small program"),
            ],
        },
    }
)

_ROWS: dict[str, Any] = {
    "rust": {"table": "goals", "owner": "ada", "id": "g1", "title": "Learn Rust", "status": "in_progress"},
    "old": {"table": "goals", "owner": "ada", "id": "g2", "title": "Learn Go", "status": "completed"},
    "rust/read": {"table": "tasks", "owner": "ada", "id": "t1", "title": "Read chapter 4", "status": "completed",
                  "estimated_minutes": 40, "depends_on": []},
    "rust/borrow": {"table": "tasks", "owner": "ada", "id": "t2", "title": "Practise borrowing", "status": "pending",
                    "estimated_minutes": 45, "depends_on": ["@rust/read"]},
    "rust/threads": {"table": "tasks", "owner": "ada", "id": "t3", "title": "Practise threads", "status": "pending",
                     "estimated_minutes": 60, "depends_on": ["@rust/borrow"]},
    "rust/tests": {"table": "tasks", "owner": "ada", "id": "t4", "title": "Write tests", "status": "in_progress",
                   "estimated_minutes": 30, "depends_on": []},
    "bobs/task": {"table": "tasks", "owner": "bob", "id": "t5", "title": "Bob's secret", "status": "pending", "depends_on": []},
}  # fmt: skip

_SUGGEST = Run.model_validate(
    {
        "sample": "matrix",
        "rows": _ROWS,
        "suggested": [
            {"label": "rust/borrow", "score": 0.9, "minutes": 45, "unlocks": ["rust/threads"],
             "factors": {"critical_path": 0.8, "due_in_days": 3, "fits_minutes": 1.0},
             "reason": 'It takes 45 minutes, is due in 3 days and opens 1 more task: "Practise threads".'},
            {"label": "rust/tests", "score": 0.6, "minutes": 30, "factors": {"continues": 1.0},
             "reason": "You have already begun it; about 30 minutes are left."},
        ],
    }
)  # fmt: skip
_BLOCKED = {"labels": ["rust/read"], "reason": "Everything waits for the reading."}

_EXTENDED = Run.model_validate(
    {
        "sample": "matrix",
        "rows": _ROWS,
        "said": [{"role": "ai", "text": "You already have the goal Learn Rust, so I added to it."}],
        "changes": [{"table": "tasks", "op": "insert", "id": "n1", "owner": "ada",
                     "after": {"goal_id": "@rust", "title": "Read about async"}}],
    }
)  # fmt: skip
_GOAL_AGAIN = {"table": "goals", "op": "insert", "id": "g9", "owner": "ada", "after": {"title": "Learn Rust"}}

MATRICES = (
    Matrix(
        "plan",
        case("goal", "goal_planning", {"plan": {"tasks": [3, 8], "topics": ["borrow"], "skills": ["Rust"], "avoid": ["javascript"],
                                                "minutes_a_week": 120, "weeks": 3, "parallel": True}}, "plan"),
        _PLAN,
        bad={
            "no plan": (put("plan", None),),
            "an empty plan": (put("plan.tasks", []),),
            "a cycle": (put("plan.tasks.0.needs", ["t4"]),),
            "waits for itself": (put("plan.tasks.0.needs", ["t1"]),),
            "a dangling dependency": (put("plan.tasks.1.needs", ["t9"]),),
            "the same key twice": (put("plan.tasks.2.key", "t2"),),
            "the same task twice": (put("plan.tasks.2.title", "practise BORROWING!"),),
            "no criteria": (put("plan.tasks.0.criteria", []),),
            "a criterion nobody can observe": (put("plan.tasks.0.criteria", ["Understand ownership well enough"]),),
            "no skill": (put("plan.tasks.1.skills", []),),
            "an estimate of ten hours": (put("plan.tasks.1.minutes", 600),),
            "an estimate of five minutes": (put("plan.tasks.1.minutes", 5),),
            "no estimate": (put("plan.tasks.1.minutes", None),),
            "no assessment": (put("plan.tasks.3.kind", "read"),),
            "more work than time": tuple(put(f"plan.tasks.{n}.minutes", 120) for n in range(4)),
            "a source nobody retrieved": (put("plan.tasks.0.sources", ["course:python#9"]),),
            "the topic is missing": (put("plan.tasks.1.title", "Practise more"),),
            "something to be left out": (put("plan.tasks.1.description", "as in JavaScript"),),
            "too many tasks": tuple(again("plan.tasks", 1, key=f"x{n}", title=f"Exercise {n}", minutes=15) for n in range(6)),
            "independent parts in a chain": (put("plan.tasks.2.needs", ["t2"]), put("plan.tasks.3.needs", ["t3"])),
            "the skill is not trained": tuple(put(f"plan.tasks.{n}.skills", ["cooking"]) for n in range(4)),
        },
        good={
            "tasks in another order": (turn("plan.tasks"),),
            "other wording": (put("plan.tasks.0.title", "Work through the ownership chapter"),),
            "other keys": (put("plan.tasks.3.key", "final"),),
            "one more task in time": (again("plan.tasks", 1, key="t5", title="Use the borrow checker"),),
            "no sources": tuple(put(f"plan.tasks.{n}.sources", []) for n in range(4)),
            "more than one criterion": (add("plan.tasks.0.criteria", "a page of own notes"),),
        },
    ),
    Matrix(
        "dedupe",
        case("goal", "goal_planning", {"reuse": "rust"}, "dedupe"),
        _EXTENDED,
        bad={
            "a second equal goal": (add("changes", _GOAL_AGAIN),),
            "equal but for case and punctuation": (add("changes", {**_GOAL_AGAIN, "after": {"title": "learn  RUST!"}}),),
            "another goal for the same aim": (add("changes", {**_GOAL_AGAIN, "after": {"title": "Rust from scratch"}}),),
            "neither extended nor offered": (put("changes", []), put("said", [])),
            "extended another goal": (put("changes.0.after.goal_id", "@old"), put("said.0.text", "Saved.")),
            "two new goals": (add("changes", _GOAL_AGAIN), again("changes", 1, id="g10")),
            "offered and doubled": (put("changes", [_GOAL_AGAIN]),),
            "said nothing of it": (put("changes", []), put("said.0.text", "Here is a plan.")),
        },
        good={
            "offered in words, nothing written": (put("changes", []),),
            "offered in the question": (put("changes", []), put("said", []), put("pauses", [{"action": "extend", "args": {"title": "Learn Rust"}}])),
            "several tasks added": (again("changes", 0, id="n2"),),
            "extended without a word": (put("said", []),),
        },
    ),
    Matrix(
        "suggest",
        case("suggest", "task_suggestion", {"suggest": {"first": ["rust/borrow", "rust/tests"], "never": ["rust/read"],
                                                        "order": [["rust/borrow", "rust/tests"]]}}, "suggest"),
        _SUGGEST,
        bad={
            "silence": (put("suggested", []),),
            "a finished task": (put("suggested.1.label", "rust/read"),),
            "a task that waits": (put("suggested.1.label", "rust/threads"),),
            "somebody else's task": (put("suggested.1.label", "bobs/task"),),
            "a task that does not exist": (put("suggested.1.label", "ghost"),),
            "a goal instead of a task": (put("suggested.1.label", "rust"),),
            "the same twice": (again("suggested", 0),),
            "the wrong order": (turn("suggested"),),
            "the wrong first": (put("suggested", [{"label": "skill:sql"}]),),
            "four of them": tuple(again("suggested", 1, label=f"skill:{n}") for n in range(2)),
        },
        good={
            "only the best": (drop("suggested.1"),),
            "a review of a skill besides": (add("suggested", {"label": "skill:sql", "reason": "due"}),),
            "other scores": (put("suggested.0.score", 0.51),),
            "another reason": (put("suggested.0.reason", "It is next."),),
        },
    ),
    Matrix(
        "suggest",
        case("suggest", "task_suggestion", {"suggest": {"none_ready": True, "blocked_by": ["rust/read"]}}, "suggest"),
        Run.model_validate({"sample": "matrix", "rows": _ROWS, "blocked": _BLOCKED}),
        bad={
            "silence": (put("blocked", None),),
            "no reason": (put("blocked.reason", " "),),
            "the wrong obstacle": (put("blocked.labels", ["rust/tests"]),),
            "a suggestion all the same": (put("suggested", [{"label": "rust/threads"}]),),
        },
        good={"more obstacles named": (add("blocked.labels", "rust/tests"),), "other words": (put("blocked.reason", "Read first."),)},
    ),
    Matrix(
        "facts",
        case("suggest", "task_suggestion", {"suggest": {}}, "facts"),
        _SUGGEST,
        bad={
            "no reason": (put("suggested.0.reason", ""),),
            "a figure from nowhere": (put("suggested.0.reason", "It takes 25 minutes."),),
            "an invented deadline": (put("suggested.0.reason", "Due in 9 days."),),
            "an invented share": (put("suggested.0.reason", "You know 62 % of it."),),
            "an invented title": (put("suggested.0.reason", 'It opens "Build a compiler".'),),
            "an invented count": (put("suggested.1.reason", "It opens 7 tasks."),),
            "no factors": (put("suggested.1.factors", {}),),
            "nothing explained": (put("suggested", []),),
            "a past that never was": (put("suggested.1.reason", "You failed it 4 times."),),
        },
        good={
            "a share as a percentage": (put("suggested.0.reason", "It lies on 80 % of the longest path."),),
            "no figures": (put("suggested.0.reason", "It is the next step."),),
            "a real title quoted": (put("suggested.0.reason", 'After "Read chapter 4" comes this.'),),
            "the estimate of the row": (put("suggested.1.reason", "About 30 minutes."),),
        },
    ),
)  # fmt: skip
