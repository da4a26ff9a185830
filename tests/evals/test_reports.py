"""Reports are whole, small, harmless, and say what happened."""

from pathlib import Path
from xml.etree import ElementTree as ET

from evals import results
from evals.gate import baseline_of, compare
from evals.report.html import LIMIT, html
from evals.report.junit import junit
from evals.results import Report, slices_of, suites_of
from tests.evals.conftest import MakeReport

PASSES: dict[str, list[bool | None]] = {f"goal-{n}": [n != 3] for n in range(8)}


def _page(report: Report) -> str:
    return html(report, suites_of(report))


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(make_report: MakeReport) -> None:
    page = _page(make_report(PASSES))
    assert "<b>goal-1</b>" not in page
    assert "&lt;b&gt;goal-1&lt;/b&gt; &amp; more" in page
    for outside in ("http://", "https://", "<link", "src="):
        assert outside not in page


def test_a_thousand_cases_fit_into_a_megabyte(make_report: MakeReport) -> None:
    report = make_report({f"goal-{n}": [True] for n in range(400)})
    assert len(_page(report).encode()) < LIMIT


def test_the_page_tells_a_regression_and_links_to_it(make_report: MakeReport) -> None:
    before = make_report({name: [True] for name in PASSES})
    after = make_report(PASSES)
    page = html(after, suites_of(after), compare(baseline_of(before), after))
    assert "Regression against the baseline" in page
    assert "<a href='#goal-3'>" in page


def test_redaction_leaves_the_words_out(make_report: MakeReport) -> None:
    assert "&amp; more" not in html(make_report(PASSES), [], redact=True)


def test_junit_counts_failures_and_errors_apart(make_report: MakeReport) -> None:
    root = ET.fromstring(junit(make_report({**PASSES, "goal-9": [None]})).encode())  # noqa: S314 - our own text
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("9", "1", "1")


def test_a_report_survives_the_disk(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(PASSES)
    results.save(report, tmp_path)
    assert results.read(tmp_path) == report


def test_suites_carry_intervals_and_powers(make_report: MakeReport) -> None:
    (once,) = suites_of(make_report(PASSES))
    assert (once.cases, once.passed) == (8, 0.875)
    assert once.low < 0.875 < once.high
    (twice,) = suites_of(make_report({f"goal-{n}": [True, n > 3] for n in range(8)}))
    assert twice.power == {1: 0.75, 2: 0.5}
    assert {each.name for each in slices_of(make_report(PASSES))} == {"goal · en", "goal · t"}


def test_what_could_not_be_run_is_in_no_mean(make_report: MakeReport) -> None:
    (summary,) = suites_of(make_report({**PASSES, "goal-9": [None]}))
    assert summary.cases == 8
