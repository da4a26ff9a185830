"""Mutants for the scorers of validations, hints, words and searches."""

from evals.runs import Run
from evals.selftest.edits import Matrix, add, again, case, drop, put, turn

_CODE = (
    "def mean(values=[]):\n    total = 0\n    for v in values:\n        total += v\n    return total / len(values)\n"
)
_SOLUTION = (
    "def mean(values=None):\n    if not values:\n        return 0.0\n    total = 0\n    for v in values:\n"
    "        total += v\n    return total / len(values)\n"
)
_FIXED = _SOLUTION.replace("values=None", "values=()")
_FINDING = {"category": "state", "rule": "mutable-default", "severity": "essential", "line": 1, "line_end": 1,
            "quote": "def mean(values=[]):", "title": "Create the default inside"}  # fmt: skip
_SECOND = {"category": "correctness", "severity": "actionable", "line": 5, "line_end": 5,
           "quote": "return total / len(values)", "title": "Guard the division"}  # fmt: skip
_RUN = Run.model_validate(
    {
        "sample": "matrix",
        "checked": [
            {"snapshot": "v1", "status": "failed", "score": 0.4, "content": _CODE, "findings": [_FINDING, _SECOND],
             "feedback": "The default is shared by all calls.", "hints": ["Think about what happens for an empty list."]},
            {"snapshot": "v2", "status": "passed", "score": 1.0, "content": _FIXED, "findings": []},
        ],
        "said": [{"role": "ai", "text": "The default value is shared by every call, and an empty list is not handled."}],
    }
)  # fmt: skip
_BUGS = [
    {"line": 1, "categories": ["state", "mutable-default"], "severity": "essential"},
    {"line": 5, "categories": ["correctness", "boundaries"]},
]
_EXPECT = {"code": {"bugs": _BUGS, "verdict": {"v1": "failed", "v2": "passed"}, "score": {"v1": [0, 0.59], "v2": [0.8, 1]},
                    "worse_to_better": ["v1", "v2"], "solution": _SOLUTION, "hint_required": True}}  # fmt: skip

_SEARCH = Run.model_validate(
    {"sample": "matrix", "hits": [{"label": "a"}, {"label": "b"}, {"label": "c"}, {"label": "d"}, {"label": "e"}]}
)

MATRICES = (
    Matrix(
        "findings",
        case("code", "code_validation", _EXPECT, "findings"),
        _RUN,
        bad={
            "nothing was validated": (put("checked", []),),
            "a defect is missed": (drop("checked.0.findings.1"),),
            "every defect is missed": (put("checked.0.findings", []),),
            "the line is off by three": (put("checked.0.findings.0.line", 4), put("checked.0.findings.0.line_end", 4)),
            "another category": (put("checked.0.findings.0.category", "security"), put("checked.0.findings.0.rule", "eval")),
            "one finding for the whole file": (put("checked.0.findings", [{**_FINDING, "line": 1, "line_end": 5}]),),
            "one finding for two defects": (put("checked.0.findings.1", _FINDING),),
            "a false complaint": (add("checked.0.findings", {**_SECOND, "category": "security", "line": 3, "line_end": 3}),),
            "a complaint about clean code": (put("checked.1.findings", [_SECOND]),),
            "one snapshot not judged": (drop("checked.1"),),
            "findings on the wrong snapshot": (put("checked.0.snapshot", "v2"), put("checked.1.snapshot", "v1")),
        },
        good={
            "another order": (turn("checked.0.findings"),),
            "other words": (put("checked.0.findings.0.title", "Shared state"),),
            "one line off": (put("checked.0.findings.1.line", 4),),
            "the same defect told twice": (again("checked.0.findings", 0),),
            "a friendly remark": (add("checked.1.findings", {**_SECOND, "severity": "informative"}),),
        },
    ),
    Matrix(
        "lines",
        case("code", "code_validation", _EXPECT, "lines"),
        _RUN,
        bad={
            "nothing was validated": (put("checked", []),),
            "a line past the end": (put("checked.0.findings.1.line", 50), put("checked.0.findings.1.line_end", 50)),
            "line zero": (put("checked.0.findings.0.line", 0), put("checked.0.findings.0.line_end", 0)),
            "end before start": (put("checked.0.findings.1.line", 5), put("checked.0.findings.1.line_end", 2)),
            "a quote that stands nowhere": (put("checked.0.findings.0.quote", "def median(values):"),),
            "a quote from another line": (put("checked.0.findings.1.quote", "total = 0"),),
            "no quote": (put("checked.0.findings.0.quote", ""),),
            "off by three": (put("checked.0.findings.1.line", 2), put("checked.0.findings.1.line_end", 2)),
            "a quote of the fixed version": (put("checked.0.findings.0.quote", "values=None"),),
        },
        good={
            "part of the line": (put("checked.0.findings.0.quote", "values=[]"),),
            "other spaces": (put("checked.0.findings.1.quote", "return  total /  len(values)"),),
            "a wider range": (put("checked.0.findings.1.line", 4),),
            "another order": (turn("checked.0.findings"),),
        },
    ),
    Matrix(
        "scores",
        case("code", "code_validation", _EXPECT, "scores"),
        _RUN,
        bad={
            "nothing was validated": (put("checked", []),),
            "everything passes": (put("checked.0.status", "passed"), put("checked.0.score", 1.0)),
            "everything fails": (put("checked.1.status", "failed"), put("checked.1.score", 0.1)),
            "passed with an essential finding": (put("checked.0.status", "passed"),),
            "a high score with an essential finding": (put("checked.0.score", 0.75),),
            "the score falls after the fix": (put("checked.0.score", 0.55), put("checked.1.score", 0.5)),
            "the score stays after the fix": (put("checked.1.score", 0.4),),
            "no score": (put("checked.1.score", None),),
            "failed for nothing": (put("checked.1.status", "failed"),),
            "one of the two is missing": (drop("checked.1"),),
            "below the honest range": (put("checked.1.score", 0.7),),
        },
        good={
            "a little higher": (put("checked.0.score", 0.55),),
            "a little lower": (put("checked.1.score", 0.85),),
            "another order": (turn("checked"),),
            "other feedback": (put("checked.0.feedback", "Look at the default."),),
        },
    ),
    Matrix(
        "hints",
        case("code", "code_validation", _EXPECT, "hints"),
        _RUN,
        bad={
            "nothing was validated": (put("checked", []),),
            "no hint": (put("checked.0.hints", []),),
            "an empty hint": (put("checked.0.hints", [" "]),),
            "the whole solution": (put("checked.0.hints", [_SOLUTION]),),
            "the decisive lines": (put("checked.0.hints", ["```python\ndef mean(values=None):\n    if not values:\n        return 0.0\n```"]),),
            "the solution in the feedback": (put("checked.0.feedback", _SOLUTION),),
            "the solution in the chat": (put("said.0.text", "Like this: " + _SOLUTION),),
            "the solution in two helpings": (put("checked.0.hints", ["def mean(values=None):\n    if not values:"]),
                                             put("checked.1.hints", ["if not values:\n        return 0.0\n    total = 0"])),
            "the solution under other names": (put("checked.0.hints", ["```python\nif not things:\n    return 0.0\n\ndef avg(xs=None):\n    if not xs:\n        return 0.0\n    t = 0\n    for x in xs:\n        t += x\n    return t / len(xs)\n```"]),),
        },
        good={
            "a question": (put("checked.0.hints", ["What does `len([])` give, and what follows from it?"]),),
            "a place": (put("checked.0.hints", ["Look at line 5."]),),
            "an example on other data": (put("checked.0.hints", ["`def greet(name=None)` makes its default when called."]),),
            "the learner's own code quoted": (put("checked.0.hints", ["You wrote `for v in values:\n        total += v\n    return total / len(values)`."]),),
            "several hints": (add("checked.0.hints", "And the default?"),),
        },
    ),
    Matrix(
        "spoken",
        case("code", "code_validation", {"spoken": {"language": "en", "mentions": ["shared"], "never": ["language model"]}}, "spoken"),
        _RUN,
        bad={
            "silence": (put("said", []),),
            "an empty answer": (put("said.0.text", " "),),
            "only the learner spoke": (put("said.0.role", "human"),),
            "the wrong language": (put("said.0.text", "El valor es shared y lo comparten todas las llamadas de la función."),),
            "half in another language": (put("said.0.text", "Shared. El valor por defecto es de todas las llamadas y no se crea para cada una."),),
            "the fact is missing": (put("said.0.text", "There is something wrong with the code."),),
            "a claim it must not make": (add("said", {"role": "ai", "text": "I am a language model and this is shared."}),),
            "an invented id": (add("said", {"role": "ai", "text": "See 0b5fd2f4-9a3e-4c57-8a1e-52c4e2f9a111, it is shared."}),),
            "no language at all": (put("said.0.text", "shared shared 42"),),
        },
        good={
            "other words": (put("said.0.text", "It is shared by all of the calls."),),
            "two messages": (add("said", {"role": "ai", "text": "What would you like to do next?"}),),
            "a title in Spanish quoted": (put("said.0.text", 'The task "Leer el capítulo de las funciones" is shared with you.'),),
            "code in it": (put("said.0.text", "The default in `def de(la, el, los)` is shared by the calls."),),
        },
    ),
    Matrix(
        "retrieval",
        case("rag", "search", {"search": {"relevant": {"a": 3, "c": 1}, "k": 5, "only": ["a", "b", "c", "d", "e"]}}, "retrieval"),
        _SEARCH,
        bad={
            "no search": (put("hits", None),),
            "no hits": (put("hits", []),),
            "the best one is missing": (drop("hits.0"),),
            "one of two is missing": (drop("hits.2"),),
            "the same row twice": (again("hits", 0), drop("hits.4")),
            "more than asked for": (add("hits", {"label": "b2"}),),
            "a row that does not belong here": (put("hits.4.label", "foreign"),),
            "found, but too late": (put("hits", [{"label": x} for x in ("b", "d", "e", "f", "g", "a", "c")]),),
            "everything there is": tuple(add("hits", {"label": f"x{n}"}) for n in range(20)),
        },
        good={
            "another order": (turn("hits"),),
            "only the right ones": (put("hits", [{"label": "c"}, {"label": "a"}]),),
            "other scores": (put("hits.0.score", 0.2),),
            "three of five": (drop("hits.4"), drop("hits.3")),
        },
    ),
)  # fmt: skip
