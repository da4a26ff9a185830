"""Measures how well each kind of search finds what is meant, on sets anybody can rebuild.

    python -m bench.quality [--functions 600] [--embedder hash|minilm|both]

code    query: the first sentence of a docstring in the Python standard library; target: that function without it
goals   query: a paraphrase with other words, or two words of the title; target: the goal (36 of them, in two languages)

All answers come from the shipped search over a real database, so chunking, weights and routes are part of the figure.
The figure is the mean reciprocal rank of the target among ten hits. RRF is what most libraries do: equal weights of the
two ranks. Exits 1 if the hybrid is worse than the better of its parts by more than the noise of the set.
"""

import argparse
import ast
import asyncio
import json
import statistics
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.embedders_hash import HashEmbedder
from agents.embedders_minilm import MiniLMEmbedder, weights_folder
from store import embedded, goals, migrate, snapshots, tasks
from store.database import Database
from store.goals import NewGoal
from store.index import index
from store.index_check import live_keys
from store.index_models import begin, swap
from store.principal import SERVICE, Principal
from store.search import Mode, SearchRequest, search
from store.search_types import SEARCHABLE, QueryVector
from store.snapshots import NewSnapshot
from store.tasks import NewTask
from store.types import EntityType, Role
from store.vectors import Embedder

K = 10
SEED = 11
_FEWEST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and the id of what it is about."""

    question: str
    target: str


@dataclass(frozen=True, slots=True)
class Set:
    """One collection of pairs; each is searched as one learner's own rows."""

    name: str
    who: Principal
    kinds: tuple[EntityType, ...]
    pairs: list[Pair]


def main() -> None:
    """Build the sets, search, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=600)
    parser.add_argument("--embedder", choices=("hash", "minilm", "both"), default="both")
    given = parser.parse_args()
    chosen: list[Embedder] = []
    if given.embedder != "minilm":
        chosen.append(HashEmbedder())
    if given.embedder != "hash":
        chosen.append(MiniLMEmbedder(weights_folder()))
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder) / "data") as server:
        migrate.upgrade(server.owner_url)
        failed = asyncio.run(compare(server.login_url, chosen, given.functions))
    sys.exit(1 if failed else 0)


async def compare(url: str, embedders: Sequence[Embedder], functions: int) -> bool:
    """Print one line a set and embedder; return whether the hybrid lost anywhere."""
    lost = False
    async with Database(url, max_size=2) as database:
        sets = [*[await goal_set(database, *of) for of in GOALS], await code_set(database, functions)]
        print("| set | pairs | embedder | vectors | full text | RRF | hybrid |", "| --- " * 7 + "|", sep="\n")
        for embedder in embedders:
            async with database.transaction(SERVICE) as tx:
                await begin(tx, embedder.model)
                await swap(tx, embedder.model)
            await index(database, embedder, await live_keys(database, None, 1_000_000))
            for each in sets:
                found = await figures(database, embedder, each)
                cells = " | ".join(f"{found[way]:.3f}" for way in ("dense", "lexical", "rrf", "hybrid"))
                print(f"| {each.name} | {len(each.pairs)} | {embedder.model} | {cells} |", flush=True)
                noise = 0.5 / len(each.pairs) ** 0.5 * 0.2
                lost |= found["hybrid"] < max(found["dense"], found["lexical"]) - noise
    return lost


async def figures(database: Database, embedder: Embedder, each: Set) -> dict[str, float]:
    """Return the mean reciprocal rank of every way of searching."""
    vectors = await embedder.embed([pair.question for pair in each.pairs])
    ranks: dict[str, list[float]] = {}
    for pair, vector in zip(each.pairs, vectors, strict=True):
        query = QueryVector(embedder.model, embedder.degraded, vector)
        lists: dict[str, list[str]] = {}
        for mode in Mode:
            request = SearchRequest(
                pair.question, entity_types=each.kinds, k=50 if mode is not Mode.HYBRID else K, mode=mode
            )
            async with database.transaction(each.who) as tx:
                result = await search(tx, request, None if mode is Mode.LEXICAL else query)
            lists[mode.value] = [hit.entity_id for hit in result.hits]
        lists["rrf"] = fused(lists["dense"], lists["lexical"])
        for way, answered in lists.items():
            ranks.setdefault(way, []).append(reciprocal(answered[:K], pair.target))
    return {way: statistics.fmean(values) for way, values in ranks.items()}


def fused(*lists: Sequence[str]) -> list[str]:
    """Combine rankings by reciprocal rank fusion with the usual constant of 60."""
    scores: dict[str, float] = {}
    for answered in lists:
        for rank, identity in enumerate(answered, 1):
            scores[identity] = scores.get(identity, 0) + 1 / (60 + rank)
    return sorted(scores, key=lambda identity: -scores[identity])


def reciprocal(answered: Sequence[str], target: str) -> float:
    """Return 1 for the first place, 1/2 for the second, 0 if it is not there."""
    return 1 / (answered.index(target) + 1) if target in answered else 0.0


WORDS = "words"
GOALS = (
    ("goals, English", "en", "ask_en"),
    ("goals, Spanish", "es", "ask_es"),
    ("goals, English asked in Spanish", "en", "ask_es"),
    ("goals, Spanish, by two of their words", "es", WORDS),
)


async def goal_set(database: Database, name: str, written: str, asked: str) -> Set:
    """Make the goals of one learner and return the paraphrases about them."""
    entries = json.loads(Path(__file__).with_name("quality_goals.es.json").read_text())
    who = Principal(f"{written}-{asked}", Role.LEARNER)
    pairs: list[Pair] = []
    async with database.transaction(who) as tx:
        for entry in entries:
            goal = await goals.create(tx, NewGoal(title=entry[written]))
            pairs.append(Pair(words_of(entry[written]) if asked == WORDS else entry[asked], str(goal.id)))
    return Set(name, who, (EntityType.GOAL,), pairs)


def words_of(title: str) -> str:
    """Ask in Spanish for the two longest words of a title, as somebody who remembers half of it would."""
    longest = sorted(title.split(), key=len)[-2:]
    return f"algo sobre {longest[1].lower()} y {longest[0].lower()}"


async def code_set(database: Database, count: int) -> Set:
    """Make a snapshot of each of so many standard library functions, without their docstrings."""
    found = list(documented_functions())
    places = np.random.default_rng(SEED).permutation(len(found))[:count]
    who = Principal("librarian", Role.LEARNER)
    pairs: list[Pair] = []
    async with database.transaction(who) as tx:
        goal = await goals.create(tx, NewGoal(title="Read the standard library"))
        task = await tasks.create(tx, NewTask(goal_id=goal.id, title="Read"))
        for number, place in enumerate(places):
            question, source = found[int(place)]
            new = NewSnapshot(task_id=task.id, file_path=f"{number}.py", content=source)
            snapshot = await snapshots.create(tx, new)
            pairs.append(Pair(question, str(snapshot.id)))
    return Set("code", who, (SEARCHABLE[2],), pairs)


def documented_functions() -> Iterator[tuple[str, str]]:
    """Yield the first sentence of each docstring with the function it was taken out of."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            sentence = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split()).split(". ")[0]
            if len(sentence.split()) < _FEWEST_WORDS or len(node.body) < 2:
                continue
            node.body = node.body[1:]
            yield sentence[:300], ast.unparse(node)


if __name__ == "__main__":
    main()
