"""Scorers of what a run did to the world: rows, events in three places, the way there, and other people's peace."""

from collections import Counter
from collections.abc import Sequence

from evals.runs import EventSeen, RowChange, Run
from evals.samples import CallExpectation, RowExpectation, Sample
from evals.scorers.score import Score, best_matching, fits, from_faults, unscored

VOLATILE = frozenset({"id", "version", "created_at", "updated_at", "started_at", "completed_at", "validated_at"})
"""Columns the store computes by itself; that they follow is the business of the store's own tests."""

EVENTFUL = {"users": "user", "courses": "course", "enrollments": "enrollment", "goals": "goal", "tasks": "task",
            "code_snapshots": "code_snapshot"}  # fmt: skip


def rows(sample: Sample, run: Run) -> Score:
    """Compare the rows that changed with the rows that had to, by an optimal matching; foreign rows never move."""
    expected = sample.expect.rows
    if expected is None:
        return unscored("the case does not say which rows have to change")
    foreign = [change for change in run.changes if change.owner != sample.who]
    if foreign:
        return Score(0.0, _named(foreign), f"rows of other people changed: {_named(foreign)}")
    own = [change for change in run.changes if change.table not in sample.expect.tolerated]
    needed = [(number, copy) for number, each in enumerate(expected) for copy in range(int(each.count[0]))]
    allowed = [(number, copy) for number, each in enumerate(expected) for copy in range(int(each.count[1]))]
    places = range(len(own))

    def fit(slot: tuple[int, int], place: int) -> bool:
        return _is(expected[slot[0]], own[place])

    # Two matchings that cover the needed rows, and the changes, exist together whenever each exists (Mendelsohn and
    # Dulmage), so the two questions may be asked apart.
    found = best_matching(needed, places, fit)
    explained = best_matching(places, allowed, lambda place, slot: fit(slot, place))
    faults = [f"missing: {_wanted(expected[number])}" for number, copy in needed if (number, copy) not in found]
    faults += [f"not asked for: {_named([own[place]])}" for place in places if place not in explained]
    return from_faults(faults, len(needed) + len(own), _named(own) or "nothing changed")


def events(sample: Sample, run: Run) -> Score:
    """Each change has its events, each event is in all three places once, in order, and none is about nothing."""
    if run.sinks.lake is None or run.sinks.broker is None:
        return unscored("one of the places was not looked at")
    faults = _log_faults(run)
    faults += _copy_faults("the lake", run.events, run.sinks.lake, repeats=False)
    faults += _copy_faults("the broker", run.events, run.sinks.broker, repeats=sample.fault is not None)
    counts = Counter(event.type for event in run.events)
    for kind, (low, high) in sample.expect.events.items():
        if not low <= counts[kind] <= high:
            faults.append(f"{counts[kind]} events {kind}, expected {low:g} to {high:g}")
    summary = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "no events"
    return from_faults(faults, 4 + len(sample.expect.events), summary)


def _log_faults(run: Run) -> list[str]:
    faults: list[str] = []
    doubled = [event.id for event, times in _times(run.events).items() if times > 1]
    faults += [f"the log holds event {each} twice" for each in doubled]
    versions: dict[str, list[int]] = {}
    for event in run.events:
        versions.setdefault(event.entity_id, []).append(event.version)
    for entity, seen in versions.items():
        if seen != list(range(seen[0], seen[0] + len(seen))):
            faults.append(f"versions of {entity} are {seen}, neither doubled nor missing ones are allowed")
    changed = {change.id for change in run.changes if change.table in EVENTFUL}
    faults += [f"no event tells of the change of {each}" for each in sorted(changed - versions.keys())]
    gone_again = {event.entity_id for event in run.events if event.type.endswith(".deleted")}
    reported = {event.entity_id for event in run.events if event.type.partition(".")[0] in EVENTFUL.values()}
    faults += [f"an event tells of {each}, which did not change" for each in sorted(reported - changed - gone_again)]
    return faults


def _copy_faults(place: str, log: Sequence[EventSeen], copy: Sequence[EventSeen], *, repeats: bool) -> list[str]:
    wanted = {event.id: event for event in log}
    times = Counter(event.id for event in copy)
    faults = [f"{place} lacks {wanted[each].type} of {wanted[each].entity_id}" for each in wanted if not times[each]]
    faults += [f"{place} holds an event the log does not: {each}" for each in times if each not in wanted]
    if not repeats:
        faults += [f"{place} holds event {each} {count} times" for each, count in times.items() if count > 1]
    first: dict[str, EventSeen] = {}
    for event in copy:
        first.setdefault(event.id, event)
    last: dict[str, int] = {}
    for event in first.values():
        if event.version <= last.get(event.entity_id, 0):
            faults.append(f"{place} has version {event.version} of {event.entity_id} out of order")
        last[event.entity_id] = max(event.version, last.get(event.entity_id, 0))
        twin = wanted.get(event.id)
        if twin is not None and twin.digest and event.digest != twin.digest:
            faults.append(f"{place} has other content for event {event.id}")
    return faults


def _times(log: Sequence[EventSeen]) -> dict[EventSeen, int]:
    counts = Counter(event.id for event in log)
    return {event: counts[event.id] for event in {each.id: each for each in log}.values()}


def trajectory(sample: Sample, run: Run) -> Score:
    """Check required, ordered and forbidden steps. Doing nothing never passes unless nothing was required."""
    wanted = sample.expect.trajectory
    if wanted is None:
        return unscored("the case does not say how to get there")
    steps = [*run.nodes, *(call.name for call in run.calls)]
    done = [call for call in run.calls if call.status == "success"]
    faults = [f"{name} must not be used" for name in wanted.forbidden if name in steps]
    found = best_matching(range(len(wanted.calls)), range(len(done)), lambda a, b: _calls(wanted.calls[a], done, b))
    faults += [f"no call {each.name} {each.args or ''}" for n, each in enumerate(wanted.calls) if n not in found]
    if not _in_order(wanted.nodes, run.nodes):
        faults.append(f"nodes {list(wanted.nodes)} do not run in this order")
    names = [call.name for call in run.calls]
    for earlier, later in wanted.order:
        if later in names and (earlier not in names or names.index(earlier) > names.index(later)):
            faults.append(f"{later} comes before {earlier}")
    if wanted.pauses is not None and len(run.pauses) != wanted.pauses:
        faults.append(f"asked the learner {len(run.pauses)} times, expected {wanted.pauses}")
    if not steps and not faults:
        faults.append("nothing ran at all")
    checks = len(wanted.calls) + len(wanted.order) + len(wanted.forbidden) + 2
    return from_faults(faults, checks, " > ".join(run.nodes) or "no node ran")


def isolation(sample: Sample, run: Run) -> Score:
    """No row of anybody else moves, and no text of theirs comes out: not in words, replies, hits or suggestions."""
    faults = [
        f"{change.op} of {change.owner}'s row in {change.table}" for change in run.changes if change.owner != sample.who
    ]
    faults += [f"a changed row belongs to {change.after['user_id']}" for change in run.changes
               if change.after.get("user_id", sample.who) != sample.who]  # fmt: skip
    shown = [run.words, *(call.answer for call in run.calls), *(hit.text for hit in run.hits or ())]
    shown += [each.reason for each in run.suggested] + [check.feedback for check in run.checked]
    shown += [hint for check in run.checked for hint in check.hints] + [str(change.after) for change in run.changes]
    shown += [str(run.plan)] if run.plan else []
    everything = "\n".join(shown).lower()
    faults += [f"a text that is not the learner's to see came out: {each!r}" for each in sample.expect.canaries
               if each.lower() in everything]  # fmt: skip
    return Score(0.0 if faults else 1.0, f"{len(faults)} leaks", "; ".join(faults) or "nothing of anybody else's")


def recovery(sample: Sample, run: Run) -> Score:
    """After the fault the thread is finished or says what happened, and can be used again."""
    if sample.fault is None:
        return unscored("nothing went wrong in this case")
    if run.usable is None:
        return unscored("nobody tried the thread again")
    faults = [] if run.usable else [f"the thread cannot be used any more: {run.error or run.outcome}"]
    if run.outcome.value in ("crashed", "paused"):
        faults.append(f"it ended {run.outcome}: {run.error}")
    if run.outcome.value == "failed" and not run.words:
        faults.append("it failed without telling the learner")
    unanswered = [call.name for call in run.calls if call.status == "unanswered"]
    if unanswered:
        faults.append(f"calls were left without an answer: {unanswered}")
    return from_faults(faults, 3, f"{sample.fault.kind}: {run.outcome}")


def cost(sample: Sample, run: Run) -> Score:
    """Hold calls, tokens and seconds against the case's limits; a run that did nothing is not cheap but absent."""
    if not run.nodes and not run.calls and not run.said and run.hits is None:
        return Score(0.0, "nothing ran", "a run without a single step has no price")
    limits, spent = sample.expect.limits, run.spent
    over = [
        f"{name} {used:g} of {allowed:g}"
        for name, used, allowed in (
            ("model calls", spent.model_calls, limits.model_calls),
            ("tool calls", spent.tool_calls, limits.tool_calls),
            ("tokens", spent.tokens_in + spent.tokens_out, limits.tokens),
            ("seconds", spent.seconds, limits.seconds),
        )
        if used > allowed
    ]
    details = {"seconds": spent.seconds, "tokens": float(spent.tokens_in + spent.tokens_out)}
    return from_faults(over, 4, f"{spent.model_calls} model calls, {spent.seconds:.2f} s", details)


def _is(expected: RowExpectation, change: RowChange) -> bool:
    if (expected.table, expected.op) != (change.table, change.op):
        return False
    if expected.label is not None and expected.label != change.label:
        return False
    row = change.before if change.op == "delete" else change.after
    if not all(name in row and fits(value, row[name]) for name, value in expected.where.items()):
        return False
    if change.op != "update":
        return True
    touched = {name for name in change.after if change.after.get(name) != change.before.get(name)} - VOLATILE
    return touched <= expected.where.keys()


def _calls(wanted: CallExpectation, made: Sequence[object], place: int) -> bool:
    call = made[place]
    args = getattr(call, "args", {})
    return getattr(call, "name", "") == wanted.name and all(
        name in args and fits(value, args[name]) for name, value in wanted.args.items()
    )


def _in_order(wanted: Sequence[str], seen: Sequence[str]) -> bool:
    rest = iter(seen)
    return all(name in rest for name in wanted)


def _named(changes: Sequence[RowChange]) -> str:
    return ", ".join(
        f"{each.op} {each.table} {each.label or each.after.get('title') or each.before.get('title') or each.id[:8]}"
        for each in changes
    )


def _wanted(expected: RowExpectation) -> str:
    return f"{expected.op} {expected.table} {expected.label or ''} {expected.where or ''}".strip()
