"""The middle of a validation: static checks, material, the review, and what code makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from langgraph.runtime import Runtime

from agents import reviewer
from agents.failures import ModelFailure
from agents.models import ModelRole
from agents.reviewer import Review
from agents.reviewer_checks import Criterion, Grounds, check, compare, in_order, shown
from agents.reviewer_score import verdict
from graphs.context import LearnerContext, principal
from graphs.deps import Deps
from graphs.model_calls import structured
from graphs.narration import progress
from graphs.validation_state import (
    EvidenceItem,
    Request,
    State,
    Static,
    Subject,
    findings_in,
    request_of,
    static_of,
    subject_of,
)  # fmt: skip
from graphs.validation_texts import sentence
from store import snapshots
from store.errors import NotFound, StoreError, Unavailable
from store.findings import Finding, numbered
from store.search import Hit, Scope, SearchRequest, retrieve
from store.snapshots import SnapshotFilter
from store.types import EntityType
from tools.static_analysis.api import analyse, rules

REPAIRS = 2
VERSIONS = 10
"""How far back a finding can be recognised."""


@dataclass(frozen=True, slots=True)
class History:
    """Earlier versions of the same file, newest first."""

    code: str
    """The version to compare with; "" when there is none."""
    findings: tuple[Mapping[str, Finding], ...]


async def code_of(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> str:
    """Return the code under review. It is read where it is needed, so that no checkpoint holds a copy."""
    subject = subject_of(state)
    if subject["snapshot_id"] is None:
        return request_of(state).code or ""
    async with deps.database.transaction(principal(runtime)) as tx:
        return (await snapshots.get(tx, UUID(subject["snapshot_id"]))).content


async def static(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Run the static layer; it answers for every input."""
    request, subject = request_of(state), subject_of(state)
    progress(runtime, "static", sentence(request.locale, "static", language=subject["language"]))
    analysis = await analyse(await code_of(deps, state, runtime), subject["language"], locale=request.locale)
    found = Static(
        issues=[each.as_issue() for each in analysis.findings],
        depth=analysis.depth.value,
        parsed=analysis.parsed,
        outline=asdict(analysis.outline),
        seconds=round(analysis.seconds, 3),
    )
    return {"static": found}


async def material(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Look for validated code and documentation near the task; a search that fails costs evidence, not the run."""
    subject = subject_of(state)
    query = f"{subject['title']}\n{subject['description']}".strip()[:2000]
    if not query:
        return {"evidence": []}
    progress(runtime, "retrieve", sentence(request_of(state).locale, "retrieve"))
    who, course = principal(runtime), subject["course_id"]
    scope = Scope.COURSE if course else Scope.USER
    wanted = (
        SearchRequest(
            query, scope, (EntityType.CODE_SNAPSHOT,), 3, course_id=course,
            language=subject["language"], only_validated=True,
        ),
        SearchRequest(
            query, Scope.COURSE if course else Scope.GLOBAL, (EntityType.COURSE,), 3, course_id=course, chunks=True
        ),
    )  # fmt: skip
    hits: list[Hit] = []
    for request in wanted:
        try:
            result = await retrieve(lambda: deps.database.transaction(who), deps.embedder, request)
        except Unavailable:
            raise
        except StoreError:
            continue
        hits += [hit for hit in result.hits if hit.entity_id != subject["snapshot_id"]]
    return {"evidence": [_evidence(number, hit) for number, hit in enumerate(hits, start=1)]}


def _evidence(number: int, hit: Hit) -> EvidenceItem:
    return EvidenceItem(
        id=f"E{number}",
        kind=hit.entity_type.value,
        entity_id=hit.entity_id,
        title=hit.title[:200],
        heading=hit.heading[:200],
        # the state is streamed to the learner: another's accepted solution is for the reviewer's eyes only
        text="" if solution(hit.entity_type, mine=hit.own) else hit.snippet[:600],
        mine=hit.own,
    )


def solution(kind: str, *, mine: bool) -> bool:
    """Whether a piece of evidence is validated code of somebody else."""
    return kind == EntityType.CODE_SNAPSHOT and not mine


async def known_solutions(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> Mapping[str, str]:
    """Return the code behind the evidence, by evidence id, as far as the learner may read it."""
    found: dict[str, str] = {}
    async with deps.database.transaction(principal(runtime)) as tx:
        for item in state.get("evidence", []):
            if item["kind"] == EntityType.CODE_SNAPSHOT:
                try:
                    found[item["id"]] = (await snapshots.get(tx, UUID(item["entity_id"]))).content[:40_000]
                except NotFound:
                    continue
    return found


def _cited(item: EvidenceItem, code: Mapping[str, str]) -> Mapping[str, str]:
    text = item["text"] or code.get(item["id"], "")[:600]
    return {key: str(item[key]) for key in ("id", "kind", "title", "heading")} | {"text": text}


async def review(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Let the model, or the rules, review the code. Here is nothing that could write: no tool is offered."""
    request, subject, found = request_of(state), subject_of(state), static_of(state)
    progress(runtime, "review", sentence(request.locale, "review"))
    known = await known_solutions(deps, state, runtime)
    messages = reviewer.messages(
        locale=request.locale,
        task={"title": subject["title"], "description": subject["description"]} if subject["title"] else None,
        criteria=subject["criteria"],
        language=subject["language"],
        code=await code_of(deps, state, runtime),
        known=[{key: issue[key] for key in ("type", "line", "message")} for issue in found["issues"]],
        outline=found["outline"],
        tests=[each.model_dump() for each in request.client_test_results.tests] if request.client_test_results else [],
        evidence=[_cited(item, known) for item in state.get("evidence", [])],
        complaints=state.get("complaints") or [],
    )  # fmt: skip
    try:
        answer, cost = await structured(deps, state.get("spent") or {}, ModelRole.REVIEW, Review, messages)
    except ModelFailure as failure:
        # the static findings stand without a model; the result says who did not answer
        mechanical = reviewer.rule({"criteria": reviewer.listed(subject["criteria"]), "outline": found["outline"]}, [])
        return {"review": mechanical.model_dump(), "reviewed_by": failure.kind.value}
    by = "rules" if deps.models.offline else "model"
    return {"review": answer.model_dump(), "reviewed_by": by, "spent": cost}


async def weigh(deps: Deps, state: State, runtime: Runtime[LearnerContext]) -> dict[str, Any]:
    """Check the review against the code, compare it with earlier versions, and compute the verdict."""
    request, subject, found = request_of(state), subject_of(state), static_of(state)
    code = await code_of(deps, state, runtime)
    history = await _history(deps, request, subject, runtime)
    lines = code.split("\n")
    before = set(history.code.split("\n")) if history.code else set[str]()
    grounds = Grounds(
        code=code,
        static=findings_in(found["issues"]),
        criteria=subject["criteria"],
        evidence_ids=frozenset(item["id"] for item in state.get("evidence", [])),
        tests_given=request.client_test_results is not None,
        unchanged_lines=frozenset(at for at, line in enumerate(lines, start=1) if line in before and line.strip()),
        known_before=frozenset(identity for version in history.findings for identity in version),
    )  # fmt: skip
    checked = check(Review.model_validate(state.get("review")), grounds)
    of_model = [each for each in checked.findings if each.source == "model"]
    if checked.dropped and not of_model and state.get("reviewed_by") == "model" and state.get("repairs", 0) < REPAIRS:
        return {"complaints": list(checked.dropped), "repairs": state.get("repairs", 0) + 1, "decision": "repair"}
    told = [*_failing(request, code), *_unmet(checked.rubric, code)]
    own = numbered([_worded(each, request.locale) for each in told])
    compared = compare([*checked.findings, *own], history.findings)
    tests = request.client_test_results.tests if request.client_test_results else []
    outcome = verdict(
        compared.findings,
        parsed=found["parsed"],
        reviewed=found["depth"] == "full" or state.get("reviewed_by") == "model",
        tests_passed=bool(tests) and all(each.status == "pass" for each in tests),
        untold=sum(each.met == "cannot_tell" for each in checked.rubric) / max(1, len(checked.rubric)),
        empty=any(each.rule_id == "empty-submission" for each in compared.findings),
    )
    ordered = in_order(compared.findings)
    return {
        "decision": "weighed",
        "checked": {
            "findings": [each.as_issue() for each in ordered],
            "shown": [each.identity for each in shown(ordered)],
            "fixed": [each.as_issue() for each in compared.fixed],
            "rubric": [asdict(each) for each in checked.rubric],
            "summary": checked.summary,
            "dropped": list(checked.dropped),
            "passed": outcome.passed,
            "score": outcome.score,
        },
    }


async def _history(deps: Deps, request: Request, subject: Subject, runtime: Runtime[LearnerContext]) -> History:
    if subject["snapshot_id"] is None or subject["task_id"] is None:
        return History("", ())
    wanted = SnapshotFilter(task_id=UUID(subject["task_id"]), file_path=subject["file_path"], limit=VERSIONS)
    async with deps.database.transaction(principal(runtime)) as tx:
        page = await snapshots.list(tx, wanted)
    mine = [each for each in page.items if each.user_id == principal(runtime).user_id]
    earlier = sorted(
        (each for each in mine if each.snapshot_version < subject["snapshot_version"]),
        # the version the client names is the one to compare with; the others only tell what had been fixed before
        key=lambda each: (each.id != request.previous_snapshot_id, -each.snapshot_version),
    )
    versions = [{finding.identity: finding for finding in findings_in(each.validation_issues)} for each in earlier]
    return History(earlier[0].content if earlier else "", tuple(versions))


@dataclass(frozen=True, slots=True)
class _Told:
    rule_id: str
    detail: str
    line: int
    quote: str


def _failing(request: Request, code: str) -> list[_Told]:
    tests = request.client_test_results.tests if request.client_test_results else []
    first = code.split("\n", maxsplit=1)[0][:300]
    failing = [each for each in tests if each.status != "pass"]
    return [_Told("failing-test", " ".join(each.name.split())[:100], 1, first) for each in failing[:3]]


def _unmet(rubric: Sequence[Criterion], code: str) -> list[_Told]:
    first = code.split("\n", maxsplit=1)[0][:300]
    return [_Told("criterion-not-met", each.text[:160], 1, first) for each in rubric if each.met == "no"]


def _worded(told: _Told, locale: str) -> Finding:
    rule = rules()[told.rule_id]
    return replace(
        Finding(
            rule_id=told.rule_id, source=rule.source, category=rule.category, severity=rule.severity,
            line_start=told.line, line_end=told.line, quote=told.quote,
            title=rule.title(locale, told.detail), why=rule.why(locale), hint_key=rule.hint_key, confidence=0.8,
        ),
        # what was asked for is what the finding is about, not the line it is hung on
        symbol=told.detail,
    )  # fmt: skip
