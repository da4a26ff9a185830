"""The report as one HTML file that opens from disk, without a server, a network, or JavaScript to read it."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from evals.gate import Comparison, Exit
from evals.report.case_page import case_page
from evals.results import Report, Summary, slices_of
from evals.scorers import SCORERS
from evals.statistics import Calibration

LIMIT = 1_000_000
"""Most bytes of the file: it travels by mail and opens at once."""

_SCRIPT = """
const q=document.getElementById('q'),s=document.getElementById('s'),o=document.getElementById('o');
const show=()=>{const t=q.value.toLowerCase();let n=0;for(const d of document.querySelectorAll('details.case')){
const ok=(!t||d.dataset.t.includes(t))&&(!s.value||d.dataset.s===s.value)&&(!o.value||d.dataset.o===o.value);
d.hidden=!ok;n+=ok}document.getElementById('n').textContent=n+' shown'};
for(const e of [q,s,o])e.addEventListener('input',show);
const open=()=>{const d=location.hash&&document.getElementById(location.hash.slice(1));if(d)d.open=true};
addEventListener('hashchange',open);open();show();
"""


def html(
    report: Report,
    summaries: Sequence[Summary],
    comparison: Comparison | None = None,
    calibrated: Calibration | None = None,
    *,
    redact: bool = False,
) -> str:
    """Return the page; texts of cases are cut shorter until it fits under LIMIT."""
    slices = _slices(slices_of(report))
    above = [*_above(report, summaries, comparison, calibrated), slices]
    for room in (4000, 1500, 600, 200, 60):
        page = _page(report, above, room=room, redact=redact)
        if len(page.encode()) < LIMIT:
            return page
    raise ValueError(f"{len(report.trials)} trials do not fit into one page of {LIMIT} bytes; report fewer suites.")


def _above(
    report: Report, summaries: Sequence[Summary], comparison: Comparison | None, calibrated: Calibration | None
) -> list[str]:
    """Return everything above the cases."""
    model, made = escape(report.key.model), report.provenance
    return [
        f"<h1>Evaluation of <code>{model}</code></h1>",
        f"<p class=sub>{_size(report)}, {made.seconds:g} s, begun {escape(made.started_at)}</p>",
        _verdict(report, comparison),
        "<div class=cards>",
        *(_card(summary) for summary in summaries),
        "</div>",
        _scorers(summaries, calibrated),
        _selftest(report),
        _differences(comparison),
    ]


def _page(report: Report, above: Sequence[str], *, room: int, redact: bool) -> str:
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Evaluation of {escape(report.key.model)}</title><style>{style}</style><main>",
        *above,
        "<h2>Cases</h2>",
        _tools(report),
        *(case_page(case, report.of(case.id), room=room, redact=redact) for case in report.cases),
        _footer(report, room, redact=redact),
        f"</main><script>{_SCRIPT}</script>",
    ]
    return "\n".join(parts)


def _size(report: Report) -> str:
    trials = f"{report.key.trials} trials each" if report.key.trials > 1 else "one trial each"
    return f"{len(report.cases)} cases, {trials}"


def _verdict(report: Report, comparison: Comparison | None) -> str:
    reasons = [f"{case}: {name} is a hard limit" for case, name in report.broken_limits]
    reasons += [f"{len(report.infra)} runs failed in the harness and are not scored"] if report.infra else []
    reasons += [f"{len(report.unscored)} runs could not be judged"] if report.unscored else []
    if comparison is None:
        return _box("bad" if reasons else "", "Not compared with a baseline", reasons)
    words = {
        Exit.OK: ("good", "No regression against the baseline"),
        Exit.REGRESSION: ("bad", "Regression against the baseline"),
        Exit.NOT_COMPARABLE: ("bad", "Not comparable with the baseline"),
        Exit.HARNESS: ("bad", "The harness failed"),
        Exit.USAGE: ("bad", "Wrong use"),
    }
    kind, title = words[comparison.exit]
    return _box("bad" if reasons else kind, title, [*comparison.reasons, *reasons])


def _box(kind: str, title: str, reasons: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return f"<div class='verdict {kind}'><b>{escape(title)}</b>{f'<ul>{items}</ul>' if items else ''}</div>"


def _card(summary: Summary) -> str:
    bar = (
        f"<div class=bar><i style='left:{summary.low:.1%};width:{summary.high - summary.low:.1%}'></i>"
        f"<b style='left:calc({summary.passed:.2%} - 2px)'></b></div>"
    )
    power = ", ".join(f"pass^{k} {value:.0%}" for k, value in summary.power.items() if k > 1)
    return (
        f"<div class=card><div class=name>{escape(summary.name)} · {summary.cases} cases</div>"
        f"<div class=big>{summary.passed:.1%}</div>{bar}"
        f"<div class=ci>95 %: {summary.low:.1%} to {summary.high:.1%}{' · ' + power if power else ''}</div></div>"
    )


def _scorers(summaries: Sequence[Summary], calibrated: Calibration | None) -> str:
    names = [name for name in SCORERS if any(name in summary.scorers for summary in summaries)]
    head = "".join(f"<th class=n>{escape(summary.name)}</th>" for summary in summaries)
    rows = [
        f"<tr><td><b>{name}</b><br><small>{escape(SCORERS[name].measures)}</small></td>"
        + "".join(f"<td class=n>{_cell(summary, name)}</td>" for summary in summaries)
        + "</tr>"
        for name in names
    ]
    note = (
        f"<p class=sub>Scores of validations against what was planted: Brier {calibrated.brier:.3f}, "
        f"expected calibration error {calibrated.ece:.3f}, {calibrated.cases} verdicts.</p>"
        if calibrated
        else ""
    )
    top = f"<thead><tr><th>mean, with its 95 % interval</th>{head}</tr></thead>"
    return f"<h2>Scorers</h2><table>{top}{''.join(rows)}</table>{note}"


def _cell(summary: Summary, name: str) -> str:
    found = summary.scorers.get(name)
    if found is None:
        return ""
    mean, low, high, cases = found
    return f"{mean:.3f}<br><small>{low:.2f} to {high:.2f} · {cases}</small>"


def _selftest(report: Report) -> str:
    if not report.selftest:
        return ""
    lines = "".join(f"<tr><td>{escape(line)}</td></tr>" for line in report.selftest)
    return f"<h2>Can the scorers fail?</h2><details><summary>Self-test</summary><table>{lines}</table></details>"


def _differences(comparison: Comparison | None) -> str:
    if comparison is None or comparison.change is None:
        return ""
    mean, low, high = comparison.change
    rows = [
        ("broken", _links(comparison.broken)),
        ("fixed", _links(comparison.fixed)),
        ("unstable in the baseline, not judged", _links(comparison.unstable)),
        ("mean change of a case", f"{mean:+.4f} (95 %: {low:+.4f} to {high:+.4f})"),
        ("chance of such a split", f"p = {comparison.p_value:.3f} (exact McNemar)"),
        ("what else differs", escape(", ".join(comparison.explained_by)) or "nothing"),
    ]
    body = "".join(f"<tr><th>{name}</th><td>{value or 'none'}</td></tr>" for name, value in rows)
    return f"<h2>Against the baseline</h2><table>{body}</table>"


def _links(cases: Iterable[str]) -> str:
    return ", ".join(f"<a href='#{case}'>{escape(case)}</a>" for case in cases)


def _slices(summaries: Sequence[Summary]) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.name)}</td><td class=n>{each.cases}</td><td class=n>{each.passed:.1%}</td>"
        f"<td class=n>{each.low:.1%} to {each.high:.1%}</td></tr>"
        for each in summaries
    )
    head = "<tr><th>slice</th><th class=n>cases</th><th class=n>passed</th><th class=n>95 %</th></tr>"
    table = f"<table><thead>{head}</thead>{rows}</table>"
    return f"<h2>Slices</h2><details><summary>By language and tag</summary>{table}</details>"


def _tools(report: Report) -> str:
    suites = "".join(f"<option>{escape(name)}</option>" for name in dict.fromkeys(case.suite for case in report.cases))
    return (
        "<div class=tools><input id=q placeholder='Search names, tags and what a case proves' aria-label=Search>"
        f"<select id=s aria-label=Suite><option value=''>all suites</option>{suites}</select>"
        "<select id=o aria-label=Outcome><option value=''>all outcomes</option><option value=fail>failed</option>"
        "<option value=pass>passed</option><option value=none>not scored</option></select>"
        "<span id=n class=sub></span></div>"
    )


def _footer(report: Report, room: int, *, redact: bool) -> str:
    made = report.provenance
    told = [f"version {made.version}", f"prompts {made.prompts}", f"graphs {made.graphs}", f"seed {made.seed}"]
    told += [f"texts cut to {room} characters"] if room < 4000 else []
    told += ["learner code and texts left out"] if redact else []
    return f"<footer>{escape(' · '.join(told))}</footer>"
