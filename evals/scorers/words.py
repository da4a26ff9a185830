"""Scorers of what the learner reads and of what a search returns."""

import re
from math import log2

from evals.runs import Run
from evals.samples import Sample
from evals.scorers.score import UUID, Score, from_faults, unscored

_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "the a an and or of to in is are was be it that this with for from you your not no what when which by on as at "
        "there has have been will can its their into before after nothing because",
    )
)
_SPANISH = frozenset(
    re.findall(
        r"\w+",
        "el la los las un una y o de del al en es son fue ser que este esta esto con para por tu tus su sus no se lo "
        "le hay ha han sido qué cuando cuál como más antes después nada porque sin sobre desde",
    )
)
_FLAGS = re.IGNORECASE | re.DOTALL
_SHARED = _ENGLISH & _SPANISH


def spoken(sample: Sample, run: Run) -> Score:
    """The learner is told something, in their language, with the facts that matter and no id that does not exist."""
    wanted = sample.expect.spoken
    if wanted is None:
        return unscored("nothing is expected to be said")
    text = run.words
    if not text.strip():
        return Score(0.0, "silence", "the learner is told nothing")
    faults: list[str] = []
    language = language_of(text)
    if wanted.language is not None and language != wanted.language:
        faults.append(f"it speaks {language or 'neither language'}, not {wanted.language}")
    faults += [f"it does not mention {each!r}" for each in wanted.mentions if not re.search(each, text, _FLAGS)]
    faults += [f"it says {each!r}" for each in wanted.never if re.search(each, text, _FLAGS)]
    faults += [f"it names the id {each}, which does not exist" for each in sorted(_ids(text) - _known(run))]
    return from_faults(faults, 2 + len(wanted.mentions) + len(wanted.never), text[:160])


def language_of(text: str) -> str | None:
    """Return "en" or "es" by the small words around quotations and code; None when there are too few."""
    bare = re.sub(r"```.*?```|`[^`]*`|\"[^\"]*\"|“[^”]*”|«[^»]*»|https?://\S+", " ", text, flags=re.DOTALL)
    words = re.findall(r"[a-záéíóúüñ]+", bare.lower())
    english = sum(1 for word in words if word in _ENGLISH and word not in _SHARED)
    spanish = sum(1 for word in words if word in _SPANISH and word not in _SHARED)
    spanish += sum(1 for word in words if re.search(r"[áéíóúñ]", word) and word not in _SPANISH)
    if english == spanish:
        return None
    return "en" if english > spanish else "es"


def retrieval(sample: Sample, run: Run) -> Score:
    """Recall of the right rows among the first k, with MRR and nDCG beside it."""
    wanted = sample.expect.search
    if wanted is None:
        return unscored("nothing is searched for")
    if run.hits is None:
        return Score(0.0, "no search", "nothing was searched")
    labels = [hit.label for hit in run.hits]
    first = labels[: wanted.k]
    found = [label for label in wanted.relevant if label in first]
    recall = len(found) / len(wanted.relevant) if wanted.relevant else 1.0
    ranks = [place for place, label in enumerate(first, 1) if label in wanted.relevant]
    gained = sum(wanted.relevant.get(label, 0.0) / log2(place + 1) for place, label in enumerate(first, 1))
    best = sum(grade / log2(place + 1) for place, grade in
               enumerate(sorted(wanted.relevant.values(), reverse=True)[: wanted.k], 1))  # fmt: skip
    faults: list[str] = []
    if recall < wanted.min_recall:
        faults.append(f"{sorted(set(wanted.relevant) - set(found))} are not among the first {wanted.k}")
    if len(labels) != len(set(labels)):
        faults.append("a row is returned twice")
    if len(labels) > wanted.k:
        faults.append(f"{len(labels)} rows for k = {wanted.k}")
    if wanted.only:
        faults += [f"{label} does not belong here" for label in labels if label not in wanted.only]
    details = {"recall": recall, "mrr": 1 / ranks[0] if ranks else 0.0, "ndcg": gained / best if best else 1.0}
    return from_faults(faults, 2, ", ".join(labels) or "no hits", details)


def _ids(text: str) -> set[str]:
    return {each.lower() for each in UUID.findall(text)}


def _known(run: Run) -> set[str]:
    known = {change.id.lower() for change in run.changes}
    known |= {str(row.get("id", "")).lower() for row in run.rows.values()}
    return known | {event.entity_id.lower() for event in run.events}
