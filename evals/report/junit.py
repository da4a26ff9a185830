"""The report as JUnit XML, which every CI can show."""

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from evals.results import Report, Trial
from evals.runs import Outcome

_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """Return one test case per trial, grouped by suite."""
    root = Element("testsuites", name="goals evals", time=str(report.provenance.seconds))
    suites: dict[str, Element] = {}
    by_id = {case.id: case for case in report.cases}
    for trial in report.trials:
        case = by_id[trial.run.sample]
        if case.suite not in suites:
            suites[case.suite] = SubElement(root, "testsuite", name=case.suite)
        name = case.id if report.key.trials == 1 else f"{case.id} [{trial.run.trial + 1}]"
        seconds = f"{trial.run.spent.seconds:.3f}"
        element = SubElement(suites[case.suite], "testcase", name=name, classname=f"evals.{case.suite}", time=seconds)
        _outcome(element, trial)
    for suite in suites.values():
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("errors", str(len(suite.findall("testcase/error"))))
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _outcome(element: Element, trial: Trial) -> None:
    if trial.run.outcome is Outcome.INFRA or trial.passed is None:
        reason = trial.run.error or "a deciding scorer could not judge it"
        SubElement(element, "error", message=_clean(reason[:200])).text = _clean(reason)
    elif not trial.passed:
        faults = [
            f"{name}: {score.explanation}"
            for name, score in trial.scores.items()
            if score.deciding and score.value is not None and score.value < 1
        ]
        SubElement(element, "failure", message=_clean(faults[0][:200] if faults else "failed")).text = _clean(
            "\n".join(faults)
        )


def _clean(text: str) -> str:
    """Drop what XML 1.0 cannot hold."""
    return "".join(
        c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
    )
