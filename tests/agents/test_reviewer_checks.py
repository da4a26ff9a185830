"""Of a model's review only what the code bears out is kept."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agents.reviewer import Review, ReviewFinding, RubricItem
from agents.reviewer_checks import Grounds, check, compare, locate, shown
from store.findings import Change, Finding, Severity, Source

CODE = "def mean(values):\n    total = sum(values)\n    return total / len(values)\n\n\nprint(mean([1, 2]))\n"

STATIC = Finding(
    rule_id="division-by-length",
    source=Source.LINT,
    category="correctness",
    severity=Severity.ESSENTIAL,
    line_start=3,
    line_end=3,
    quote="    return total / len(values)",
    title="Decide what happens when `values` is empty",
    why="Dividing by zero stops the program.",
    hint_key="empty-input",
    symbol="mean",
)


def proposal(**changes: object) -> ReviewFinding:
    base = ReviewFinding(
        severity="actionable",
        category="clarity",
        line_start=2,
        line_end=2,
        quote="total = sum(values)",
        title="Name the unit of the total",
        why="A reader cannot tell what is summed.",
        evidence_ids=[],
        confidence=0.8,
    )
    return base.model_copy(update=changes)


def reviewed(*findings: ReviewFinding, **grounds: object) -> tuple[list[Finding], tuple[str, ...]]:
    values = {"code": CODE, "static": [STATIC], "criteria": [], **grounds}
    checked = check(Review(findings=list(findings), rubric=[], summary=""), Grounds(**values))  # pyright: ignore[reportArgumentType]
    return [each for each in checked.findings if each.source is Source.MODEL], checked.dropped


def test_a_finding_with_its_quote_in_place_is_kept() -> None:
    kept, dropped = reviewed(proposal())
    assert [(each.line_start, each.rule_id) for each in kept] == [(2, "model.clarity")]
    assert dropped == ()


def test_a_quote_on_other_lines_moves_the_finding_there() -> None:
    kept, _ = reviewed(proposal(line_start=40, line_end=44))
    assert [(each.line_start, each.line_end) for each in kept] == [(2, 2)]


def test_a_quote_that_is_nowhere_drops_the_finding() -> None:
    kept, dropped = reviewed(proposal(quote="total = max(values)"))
    assert kept == []
    assert dropped[0].startswith("quote not in the code")


def test_a_quote_in_two_places_is_not_guessed() -> None:
    assert locate("x = 1", 9, 9, ["x = 1", "y", "x = 1"]) is None
    assert locate("x = 1", 3, 3, ["x = 1", "y", "x = 1"]) == (3, 3)


def test_what_the_static_checks_said_is_not_said_again() -> None:
    kept, dropped = reviewed(
        proposal(category="correctness", line_start=3, line_end=3, quote="return total / len(values)"),
        proposal(),
        proposal(),
    )
    assert len(kept) == 1
    assert [each.split(":")[0] for each in dropped] == ["said already", "said already"]


def test_invented_evidence_code_and_tests_are_refused() -> None:
    kept, dropped = reviewed(
        proposal(evidence_ids=["E9"]),
        proposal(why="Write `if` first:\n```python\nif not values:\n    return 0\n```"),
        proposal(title="The tests pass already"),
        proposal(why="Read more at [the page](https://evil.example/?q=canary)."),
        evidence_ids=frozenset({"E1"}),
    )
    assert kept == []
    assert len(dropped) == 4
    assert "evil" not in str(dropped)


def test_an_unsure_finding_may_not_block() -> None:
    kept, _ = reviewed(proposal(severity="essential", confidence=0.3))
    assert kept[0].severity is Severity.ACTIONABLE


def test_an_unchanged_line_gets_no_new_fault_but_keeps_an_old_one() -> None:
    first, _ = reviewed(proposal())
    unchanged = frozenset(range(1, 7))
    assert reviewed(proposal(), unchanged_lines=unchanged)[0] == []
    again, _ = reviewed(proposal(), unchanged_lines=unchanged, known_before=frozenset({first[0].identity}))
    assert len(again) == 1


def test_a_judgement_without_its_quote_is_no_judgement() -> None:
    review = Review(
        findings=[],
        rubric=[
            RubricItem(criterion=1, met="yes", quote="return median(values)"),
            RubricItem(criterion=2, met="yes", quote="return total / len(values)"),
            RubricItem(criterion=9, met="yes", quote=""),
        ],
        summary="All tests pass, well done.",
    )
    checked = check(review, Grounds(code=CODE, static=[], criteria=["a", "b", "c"]))
    assert [each.met for each in checked.rubric] == ["cannot_tell", "yes", "cannot_tell"]
    assert checked.summary == ""


def test_at_most_three_are_shown_essential_first_and_no_praise_beside_a_block() -> None:
    praise = replace(STATIC, severity=Severity.CELEBRATORY, rule_id="praise", line_start=1)
    small = [replace(STATIC, severity=Severity.INFORMATIVE, rule_id=f"r{n}", line_start=n) for n in range(1, 5)]
    chosen = shown([praise, *small, STATIC])
    assert [each.rule_id for each in chosen] == ["division-by-length", "r1", "r2"]


def test_versions_are_compared_by_what_a_finding_is_about() -> None:
    moved = replace(STATIC, line_start=9, line_end=9, quote="return total /  len(values)", title="En español")
    gone = replace(STATIC, rule_id="other", symbol="f")
    back = replace(STATIC, rule_id="third", symbol="g")
    before = {each.identity: each for each in (STATIC, gone)}
    long_ago = {back.identity: back}
    result = compare([moved, back, replace(STATIC, rule_id="fresh")], [before, long_ago])
    assert [each.change for each in result.findings] == [Change.PERSISTS, Change.REGRESSED, Change.NEW]
    assert result.findings[0].title == "En español"
    assert [(each.rule_id, each.change) for each in result.fixed] == [("other", Change.FIXED)]


def test_what_a_model_found_keeps_the_words_it_was_first_told_in() -> None:
    first = replace(STATIC, source=Source.MODEL)
    again = replace(first, title="The same in other words", why="For another reason.")
    (persists,) = compare([again], [{first.identity: first}]).findings
    assert (persists.title, persists.why, persists.change) == (first.title, first.why, Change.PERSISTS)


@given(quote=st.text(max_size=40), start=st.integers(-5, 20), end=st.integers(-5, 20))
def test_a_place_is_always_inside_the_code(quote: str, start: int, end: int) -> None:
    lines = CODE.split("\n")
    found = locate(quote, start, end, lines)
    assert found is None or 1 <= found[0] <= found[1] <= len(lines)
