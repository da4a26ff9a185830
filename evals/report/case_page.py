"""One case in the HTML report: verdict, scores, conversation, calls, row diff, events, cost."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from evals.results import Case, Trial
from evals.runs import EventSeen, RowChange, Run
from evals.scorers.world import VOLATILE

_WORDS = {"pass": "passed", "fail": "failed", "none": "not scored"}


def case_page(case: Case, trials: Sequence[Trial], *, room: int, redact: bool) -> str:
    """Return the folded section of a case; `room` is how long a single text may be."""
    outcome = _outcome(trials)
    seconds = sum(trial.run.spent.seconds for trial in trials)
    words = escape(" ".join((case.id, case.proves, *case.tags, case.locale)).lower(), quote=True)
    tags = "".join(f"<span class=tag>{escape(tag)}</span>" for tag in (case.locale, *case.tags))
    body = "".join(_trial(trial, len(trials), room=room, redact=redact) for trial in trials)
    return (
        f"<details class=case id='{case.id}' data-t='{words}' data-s='{case.suite}' data-o='{outcome}'><summary>"
        f"<span class='pill {outcome}'>{_WORDS[outcome]}</span><code>{escape(case.id)}</code>"
        f"<span class=proves>{escape(case.proves)}</span><span class='n sub'>{seconds:.2f} s</span></summary>"
        f"<div class=body><p>{tags}</p>{body}</div></details>"
    )


def _outcome(trials: Sequence[Trial]) -> str:
    if not trials or any(trial.passed is None for trial in trials):
        return "none"
    return "pass" if all(trial.passed for trial in trials) else "fail"


def _trial(trial: Trial, trials: int, *, room: int, redact: bool) -> str:
    run = trial.run
    parts = [f"<h3>Trial {run.trial + 1} of {trials}</h3>"] if trials > 1 else []
    parts.append(_scores(trial, room))
    if run.error:
        parts.append(f"<h3>{escape(run.outcome)}</h3><pre>{escape(run.error[-max(room, 300) :])}</pre>")
    if run.nodes:
        parts.append(f"<h3>Way through the graph</h3><div class=steps>{escape(' → '.join(run.nodes))}</div>")
    if not redact:
        parts += [_said(run, room), _pauses(run, room), _calls(run, room), _checked(run, room), _found(run, room)]
        parts.append(_changes(run.changes, room))
    parts += [_events(run), _cost(run)]
    return "".join(parts)


def _scores(trial: Trial, room: int) -> str:
    rows: list[str] = []
    for name, score in sorted(trial.scores.items(), key=lambda item: (not item[1].deciding, item[0])):
        kind = "none" if score.value is None else "pass" if score.value == 1 else "fail"
        value = "none" if score.value is None else f"{score.value:.2f}"
        deciding = "" if score.deciding else " <small>(beside)</small>"
        told = score.explanation if kind != "pass" else score.answer
        rows.append(
            f"<tr><td>{name}{deciding}</td><td class=n><span class='pill {kind}'>{value}</span></td>"
            f"<td>{escape(told[:room])}</td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def _said(run: Run, room: int) -> str:
    texts = [
        f"<div class='say {message.role}'><small>{escape(message.role)}</small>{escape(_cut(message.text, room))}</div>"
        for message in run.said
        if message.text.strip()
    ]
    return f"<h3>Conversation</h3>{''.join(texts)}" if texts else ""


def _pauses(run: Run, room: int) -> str:
    lines = [f"{pause.action} → {pause.decision or 'no answer'}" for pause in run.pauses]
    return f"<h3>Questions to the learner</h3><pre>{escape(_cut(chr(10).join(lines), room))}</pre>" if lines else ""


def _calls(run: Run, room: int) -> str:
    lines = [
        f"{call.name}({_json(call.args)}) → {call.status} {_cut(call.answer, room // 8)}".rstrip() for call in run.calls
    ]
    return f"<h3>Calls and effects</h3><pre>{escape(_cut(chr(10).join(lines), room * 2))}</pre>" if lines else ""


def _checked(run: Run, room: int) -> str:
    parts: list[str] = []
    for check in run.checked:
        lines = [f"{check.snapshot}: {check.status}, {check.score}"]
        lines += [f"  {f.line}-{f.line_end} {f.severity} {f.category}/{f.rule}: {f.title}" for f in check.findings]
        lines += [f"  hint: {hint}" for hint in check.hints]
        code = "\n".join(f"{n:>4} {line}" for n, line in enumerate(check.content.splitlines(), 1))
        parts.append(f"<pre>{escape(_cut(chr(10).join(lines), room))}</pre><pre>{escape(_cut(code, room))}</pre>")
    return f"<h3>Validations</h3>{''.join(parts)}" if parts else ""


def _found(run: Run, room: int) -> str:
    lines = [f"{hit.score:.3f} {hit.label}" for hit in run.hits or ()]
    lines += [f"{each.score:.2f} {each.label}: {each.reason}" for each in run.suggested]
    lines += [f"blocked by {', '.join(run.blocked.labels)}: {run.blocked.reason}"] if run.blocked else []
    return f"<h3>Found</h3><pre>{escape(_cut(chr(10).join(lines), room))}</pre>" if lines else ""


def _changes(changes: Sequence[RowChange], room: int) -> str:
    if not changes:
        return ""
    lines: list[str] = []
    for change in changes:
        sign = {"insert": "+", "delete": "-", "update": "~"}[change.op]
        kind = {"+": "ins", "-": "del"}.get(sign, "")
        lines.append(f"<span class='{kind}'>{sign} {escape(f'{change.table} {change.label or change.id}')}</span>")
        for name in sorted(change.after.keys() | change.before.keys()):
            old, new = change.before.get(name), change.after.get(name)
            if old != new and name not in VOLATILE and new not in (None, "", [], {}):
                before = f"{_cut(_json(old), 80)} → " if change.op == "update" else ""
                lines.append(f"    {escape(f'{name}: {before}{_cut(_json(new), room // 10 + 40)}')}")
    return f"<h3>Rows</h3><pre>{_lines(lines, room)}</pre>"


def _lines(lines: Sequence[str], room: int) -> str:
    most = max(12, room // 25)
    return "\n".join([*lines[:most], *([f"… {len(lines) - most} more lines"] if len(lines) > most else [])])


def _events(run: Run) -> str:
    if not run.events:
        return ""
    lake, broker = _ids(run.sinks.lake), _ids(run.sinks.broker)
    lines = [
        f"{event.type} v{event.version}  PostgreSQL ✓  lake {'✓' if event.id in lake else '✗'}  "
        f"broker {'✓' if event.id in broker else '✗'}"
        for event in run.events[:14]
    ]
    lines += [f"… {len(run.events) - 14} more"] if len(run.events) > 14 else []
    return f"<h3>Events in the three places</h3><pre>{escape(chr(10).join(lines))}</pre>"


def _ids(events: Sequence[EventSeen] | None) -> set[str]:
    return {event.id for event in events or ()}


def _cost(run: Run) -> str:
    spent = run.spent
    slow = sorted(spent.node_seconds.items(), key=lambda item: -item[1])[:5]
    nodes = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in slow)
    return (
        f"<p class=sub>{spent.model_calls} model calls, {spent.tool_calls} tool calls, {spent.tokens_in} tokens in, "
        f"{spent.tokens_out} out, {spent.seconds:.2f} s{' · ' + escape(nodes) if nodes else ''}</p>"
    )


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[:room]}… [{len(text) - room} more characters]"


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, ensure_ascii=False, default=str)
