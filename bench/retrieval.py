"""Measures recall and latency of every scope, the cost of row-level security, and ingest, on made-up rows.

    python -m bench.retrieval [--rows 100000] [--users 1000] [--courses 50] [--questions 100] [--peer PYTHON]

`--peer` names an interpreter that has langchain-postgres, which cannot live in our environment because it pins an older
pgvector: its PGVectorStore then answers the same questions over the same rows, in the same database. Ratios of one run
are what to trust; the machine decides the rest. Exits 1 if an aim was missed.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from bench.retrieval_data import CASES, LANGUAGES, TYPES, Corpus, Question, Size, build, questions
from store import embedded, index_entities, migrate
from store.chunking import Chunk
from store.database import Database
from store.index_documents import Document, Indexable, Piece
from store.principal import SERVICE, Principal
from store.search import Mode, SearchRequest, search
from store.search_types import QueryVector
from store.types import EntityType, Role, Visibility

MODEL = "text-embedding-3-small"
K = 10
RECALL, FASTER, RLS_COST = 0.99, 5, 0.15
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way of searching achieved on one kind of question."""

    case: str
    recall: float
    short: int
    p50: float
    p95: float
    cpu: float
    route: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What one question took, in milliseconds, and what came back."""

    took: float
    cpu: float
    recall: float
    short: bool
    route: str


def main() -> None:
    """Load, search, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--courses", type=int, default=50)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--peer", help="an interpreter with langchain-postgres")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    corpus = build(Size(given.rows, given.users, given.courses))
    asked = [question for case in CASES for question in questions(corpus, case, given.questions, K)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = {"shared_buffers": "2GB", "maintenance_work_mem": "1GB", "max_wal_size": "8GB", "jit": "off"}
        server = stack.enter_context(embedded.start(folder / "data", settings=settings))
        migrate.upgrade(server.owner_url)
        peer = Peer(given.peer, server.owner_url, asked, folder) if given.peer else None
        figures = asyncio.run(measure(server.owner_url, server.login_url, corpus, asked, peer))
        if peer is None:
            print("PGVectorStore was not compared: give --peer an interpreter that has langchain-postgres.")
    missed = report(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1, default=asdict))
    sys.exit(1 if missed else 0)


async def measure(
    owner: str, login: str, corpus: Corpus, asked: Sequence[Question], peer: "Peer | None"
) -> dict[str, Any]:
    """Return the figures of our own search and ingest, and of the peer's search."""
    figures: dict[str, Any] = {"peer": []}
    async with Database(login, max_size=2, statement_timeout=3600, transaction_timeout=3600) as database:
        live_rows(owner, corpus)
        graphs = drop_graphs(owner)
        held_back = min(2000, corpus.size.rows // 10)
        figures["ingest without graph"] = await load(database, corpus, range(corpus.size.rows - held_back))
        started = time.perf_counter()
        run(owner, *graphs)
        figures["graph build seconds"] = time.perf_counter() - started
        figures["ingest with graph"] = await load(
            database, corpus, range(corpus.size.rows - held_back, corpus.size.rows)
        )
    run(owner, "VACUUM ANALYZE")
    # One session, so that its processor time can be read.
    async with Database(login, max_size=1, statement_timeout=3600, transaction_timeout=3600) as database:
        if peer:
            peer.wait_until_ready()
        await every(database, asked, corpus)  # warms caches and plans
        figures["ours"] = await every(database, asked, corpus, peer)
        if peer:
            figures["peer"] = peer.figures()
        figures["rls cost"] = await security_cost(login, owner, asked)
    return figures


async def security_cost(login: str, owner: str, asked: Sequence[Question]) -> dict[str, float]:
    """Return what row-level security adds to the p50 of a search.

    Each question is answered by two sessions in turn: one in the role of requests, one in a role that has its grants
    and BYPASSRLS. A question's time is the best of several rounds: a few hundred microseconds drown in noise otherwise.
    """
    run(owner, "CREATE ROLE bench_unwatched BYPASSRLS IN ROLE goals_user ROLE goals_login")
    best: dict[tuple[str, str, int], float] = {}
    async with Database(login, max_size=1) as watched, Database(login, max_size=1) as unwatched:
        for turn in range(ROUNDS + 1):
            for number, question in enumerate(asked):
                sides = [("goals_user", watched), ("bench_unwatched", unwatched)]
                for role, database in sides if (turn + number) % 2 else reversed(sides):
                    started = time.perf_counter()
                    async with database.transaction(asker(question)) as tx:
                        await tx.connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
                        await search(tx, request_of(question), QueryVector(MODEL, False, question.vector))
                    took = time.perf_counter() - started
                    if turn:  # the first round warms both sessions
                        key = role, question.case.name, number
                        best[key] = min(took, best.get(key, took))
    p50 = {
        (role, case.name): statistics.median(t for (r, c, _), t in best.items() if (r, c) == (role, case.name))
        for role in ("goals_user", "bench_unwatched")
        for case in CASES
    }
    return {case.name: p50["goals_user", case.name] / p50["bench_unwatched", case.name] - 1 for case in CASES}


def asker(question: Question) -> Principal:
    """Return who asks: a learner whose token claims the course."""
    return Principal(f"user-{question.user}", Role.LEARNER, courses=(f"course-{question.course}",))


def request_of(question: Question) -> SearchRequest:
    """Return the question as our search takes it."""
    return SearchRequest(
        "question",
        scope=question.case.scope,
        entity_types=question.case.types,
        k=K,
        course_id=f"course-{question.course}" if question.case.scope == "course" else None,
        language=question.case.language,
        only_validated=question.case.only_validated,
        mode=Mode.DENSE,
        author_cap=K,
        smallest_group=1,
    )


async def every(
    database: Database, asked: Sequence[Question], corpus: Corpus, peer: "Peer | None" = None
) -> list[Measured]:
    """Answer all questions; each is one transaction of its asker, from the size of the scope to the cited rows.

    The peer answers each question right after us, so that noise of the machine hits both.
    """
    found: dict[str, list[Answered]] = {}
    async with database.transaction(SERVICE) as tx:
        pid = await tx.fetch_value("SELECT pg_backend_pid()")
    for number, question in enumerate(asked):
        cpu, started = cpu_ms(pid), time.perf_counter()
        async with database.transaction(asker(question)) as tx:
            result = await search(tx, request_of(question), QueryVector(MODEL, False, question.vector))
        took = (time.perf_counter() - started) * 1000
        answer = Answered(
            took,
            cpu_ms(pid) - cpu,
            recalled(corpus, question, [hit.entity_id for hit in result.hits]),
            len(result.hits) < question.available,
            result.provenance.route,
        )
        found.setdefault(question.case.name, []).append(answer)
        if peer:
            peer.answer(number)
    return [summary(case, answers) for case, answers in found.items()]


def cpu_ms(pid: int) -> float:
    """Return the CPU time this process and one PostgreSQL backend have used."""
    server = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return server / 1e6 + time.process_time() * 1000


def summary(case: str, answers: Sequence[Answered]) -> Measured:
    """Boil the answers to one kind of question down."""
    times = sorted(answer.took for answer in answers)
    return Measured(
        case,
        statistics.fmean(answer.recall for answer in answers),
        sum(answer.short for answer in answers),
        statistics.median(times),
        times[int(len(times) * 0.95)],
        statistics.median(answer.cpu for answer in answers),
        "/".join(sorted({answer.route for answer in answers})),
    )


def recalled(corpus: Corpus, question: Question, answered: Sequence[str]) -> float:
    """Return the share of the true answers that came back; a row exactly as near counts as well."""
    if not question.available:
        return 1.0
    true = set(question.nearest)
    if not PLACES:
        PLACES.update({identity: number for number, identity in enumerate(corpus.ids)})
    good = sum(
        identity in true or float(corpus.vectors[PLACES[identity]] @ question.vector) >= question.threshold - 1e-6
        for identity in answered
    )
    return min(good, question.available) / question.available


PLACES: dict[str, int] = {}


async def load(database: Database, corpus: Corpus, rows: range) -> float:
    """Write rows the way the index does, 500 at a time; return how many a second."""
    took = 0.0
    for start in range(rows.start, rows.stop, 500):
        items = [item(corpus, number) for number in range(start, min(start + 500, rows.stop))]
        vectors = {piece.content_hash: corpus.vectors[int(piece.chunk.heading)] for i in items for piece in i.pieces}
        started = time.perf_counter()
        await index_entities.write(database, MODEL, items, {}, vectors)
        took += time.perf_counter() - started
    return len(rows) / took


def item(corpus: Corpus, number: int) -> Indexable:
    """Return a row as the index is given it."""
    kind = TYPES[int(corpus.kind[number])]
    shared = bool(corpus.passed[number]) or kind is not EntityType.CODE_SNAPSHOT
    document = Document(
        entity_type=kind,
        entity_id=corpus.ids[number],
        version=1,
        updated_at=NOW,
        user_id=f"user-{corpus.user[number]}",
        course_id=f"course-{corpus.course[number]}",
        visibility=list(Visibility)[int(corpus.visibility[number])] if shared else Visibility.PRIVATE,
        validated=bool(corpus.passed[number]),
        language=LANGUAGES[int(corpus.language[number])] if kind is EntityType.CODE_SNAPSHOT else None,
        title="",
        body="",
        documentation="",
    )
    text = f"row {number} of course {corpus.course[number]} about topic {number % 40} and words {number % 997}"
    return Indexable(document, [Piece(Chunk(str(number), text, 1, 1), False, number.to_bytes(32))])


def live_rows(owner: str, corpus: Corpus) -> None:
    """Make the goals, tasks and snapshots the index is checked against, straight into their tables."""
    with psycopg.connect(owner) as connection:
        connection.execute("SET session_replication_role = replica")  # no parents, no events: only what search reads
        connection.execute("INSERT INTO index_models (model, state) VALUES (%s, 'current')", [MODEL])
        connection.execute("CREATE TEMP TABLE made (kind int, id uuid, u int, c int, v int, l int, p bool)")
        with connection.cursor().copy("COPY made FROM STDIN") as copy:
            columns = (corpus.kind, corpus.user, corpus.course, corpus.visibility, corpus.language)
            for number, (kind, user, course, visible, language) in enumerate(zip(*map(list, columns), strict=True)):
                copy.write_row(
                    (int(kind), corpus.ids[number], int(user), int(course), int(visible), int(language),
                     bool(corpus.passed[number]))
                )  # fmt: skip
        for statement in LIVE:
            connection.execute(statement)


NOW = datetime.now(UTC)
LIVE = (
    """
    INSERT INTO goals SELECT id, 'user-' || u, 'course-' || c, 'goal', '', 'learning', 'pending', 'medium', 0,
        (ARRAY['private', 'course', 'global']::visibility[])[v + 1], NULL, NULL, NULL, '{}', 1, now(), now()
    FROM made WHERE kind = 0
    """,
    """
    INSERT INTO tasks SELECT id, id, 'user-' || u, 'course-' || c, 'task', '', 'build', 'pending', 'medium', 0, '{}',
        NULL, NULL, '{}', '{}', (ARRAY['private', 'course', 'global']::visibility[])[v + 1], NULL, NULL, NULL, '{}', 1,
        now(), now()
    FROM made WHERE kind = 1
    """,
    """
    INSERT INTO code_snapshots SELECT id, id, id, 'user-' || u, 'course-' || c, 'a.py',
        (ARRAY['python', 'typescript', 'go'])[l + 1], '', '', 1, '', CASE WHEN p THEN 'passed' ELSE 'failed'
        END::validation_status, NULL, '', '[]', NULL, (ARRAY['private', 'course', 'global']::visibility[])[v + 1], '{}',
        1, now(), now()
    FROM made WHERE kind = 2
    """,
)


def drop_graphs(owner: str) -> list[str]:
    """Drop the HNSW indexes and return the statements that make them again, as the migration did."""
    with psycopg.connect(owner, autocommit=True) as connection:
        rows = connection.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'").fetchall()
        for name, _ in rows:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [definition for _, definition in rows]


def run(owner: str, *statements: str) -> None:
    """Run statements as the owner of the database."""
    with psycopg.connect(owner, autocommit=True) as connection:
        for statement in statements:
            connection.execute(sql.SQL(cast(LiteralString, statement)))


class Peer:
    """PGVectorStore in its own interpreter, answering one question at a time."""

    def __init__(self, python: str, owner: str, asked: Sequence[Question], folder: Path) -> None:
        body = [
            {
                "case": q.case.name, "scope": q.case.scope, "types": [t.value for t in q.case.types],
                "user": f"user-{q.user}", "course": f"course-{q.course}", "language": q.case.language,
                "validated": q.case.only_validated, "vector": q.vector.tolist(), "nearest": q.nearest,
                "available": q.available,
            }
            for q in asked
        ]  # fmt: skip
        (folder / "questions.json").write_text(json.dumps(body))
        self._command = [python, str(Path(__file__).with_name("retrieval_peer.py")), owner, f"{folder}/questions.json"]
        self._process: subprocess.Popen[str] | None = None

    def wait_until_ready(self) -> None:
        """Let it copy our rows into its own tables, and build its graphs."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._said() != "ready":
            raise SystemExit("PGVectorStore did not come up; see above. Without --peer the rest can be measured.")

    def answer(self, number: int) -> None:
        """Let it answer a question in all its layouts."""
        self._tell(str(number))
        self._said()

    def figures(self) -> list[dict[str, Any]]:
        """Return what it achieved, and end it."""
        self._tell("figures")
        found: list[dict[str, Any]] = json.loads(self._said())
        if self._process:
            self._process.wait(60)
        return found

    def _tell(self, line: str) -> None:
        if self._process and self._process.stdin:
            print(line, file=self._process.stdin, flush=True)

    def _said(self) -> str:
        return self._process.stdout.readline().strip() if self._process and self._process.stdout else ""


def report(figures: dict[str, Any]) -> list[str]:
    """Print the tables; return the aims that were missed."""
    missed: list[str] = []
    theirs = {(row["layout"], row["case"]): row for row in figures.get("peer", [])}
    layouts = sorted({layout for layout, _ in theirs})
    print("| questions | route | recall@10 | short | p50 ms | p95 ms | CPU ms | RLS cost |", end="")
    print(*(f" {name}: recall, short, p50, p95, ratio |" for name in layouts))
    for ours in figures["ours"]:
        cost = figures["rls cost"][ours.case]
        line = f"| {ours.case} | {ours.route} | {ours.recall:.3f} | {ours.short} | {ours.p50:.2f} | {ours.p95:.2f} |"
        line += f" {ours.cpu:.1f} | {cost:+.0%} |"
        for layout in layouts:
            row = theirs[layout, ours.case]
            ratio = row["p50"] / ours.p50
            line += f" {row['recall']:.3f}, {row['short']}, {row['p50']:.2f}, {row['p95']:.2f}, {ratio:.1f}x |"
            if row["recall"] >= RECALL and ratio < FASTER:
                missed.append(f"{ours.case}: {ratio:.1f}x faster than {layout}, not {FASTER}x")
        print(line)
        missed += [f"{ours.case}: recall {ours.recall:.3f}"] if ours.recall < RECALL else []
        missed += [f"{ours.case}: {ours.short} short answers"] if ours.short else []
        missed += [f"{ours.case}: row-level security costs {cost:.0%}"] if cost > RLS_COST else []
    for name, aim in (("ingest without graph", 5000), ("ingest with graph", 500)):
        print(f"{name}: {figures[name]:.0f} rows/s")
        missed += [f"{name}: {figures[name]:.0f} rows/s, not {aim}"] if figures[name] < aim else []
    print(f"graph build: {figures['graph build seconds']:.1f} s")
    print("Missed:", *missed, sep="\n  ") if missed else print("All aims met.")
    return missed


if __name__ == "__main__":
    main()
