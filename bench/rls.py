"""Measures what row-level security adds to a point read inside the same transaction.

    python -m bench.rls [--samples 8000]

Two connections read the same goals by turns: one in the request role, where the policies apply, one in a role that
bypasses them. Both run the same statements, set the same identity and filter by owner in the query itself.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psycopg

from bench.crud import seed
from store import embedded, migrate

AIM = 0.10
BLOCK = 100
READ = "SELECT * FROM goals WHERE id = %s AND (user_id = %s OR visibility <> 'private')"
IDENTITY = b"; SET LOCAL app.user_id = 'bench'; SET LOCAL app.role = 'learner'; SET LOCAL app.course_ids = ''"


class Sample(NamedTuple):
    """One transaction, in microseconds: the read alone, and everything from BEGIN to COMMIT."""

    read: float
    whole: float


def sample(connection: psycopg.Connection, role: bytes, goal_id: object) -> Sample:
    """Read one goal in a transaction of its own."""
    started = time.perf_counter()
    connection.execute(b"BEGIN; SET LOCAL ROLE " + role + IDENTITY)
    before = time.perf_counter()
    row = connection.execute(READ, (goal_id, "bench")).fetchone()
    after = time.perf_counter()
    connection.execute("COMMIT")
    ended = time.perf_counter()
    assert row is not None
    return Sample((after - before) * 1e6, (ended - started) * 1e6)


def figures(samples: list[Sample], column: int) -> tuple[float, float]:
    """The tenth percentile, which noise of the machine hardly reaches, and the median."""
    values = sorted(each[column] for each in samples)
    return values[len(values) // 10], statistics.median(values)


def cost(results: dict[str, list[Sample]], column: int) -> float:
    """What RLS adds: the median over blocks of neighbouring samples, so that slow spells of the machine cancel out."""
    shares: list[float] = []
    for start in range(0, len(results["with"]), BLOCK):
        without, bound = (figures(results[name][start : start + BLOCK], column)[1] for name in ("without", "with"))
        shares.append(bound / without - 1)
    return statistics.median(shares)


def main() -> None:
    """Prepare 100,000 goals of 1,000 people, measure, print, and exit 1 if the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=8000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder)) as server:
        migrate.upgrade(server.owner_url)
        seed(server.owner_url, users=1000, goals=100)
        with (
            psycopg.connect(server.owner_url, autocommit=True) as bound,
            psycopg.connect(server.owner_url, autocommit=True) as free,
        ):
            free.execute("CREATE ROLE bench_bypass NOLOGIN BYPASSRLS; GRANT SELECT ON goals TO bench_bypass")
            ids = [row[0] for row in bound.execute("SELECT id FROM goals WHERE user_id = 'bench'").fetchall()]
            results: dict[str, list[Sample]] = {"without": [], "with": []}
            for number in range(options.samples + 200):
                goal_id = ids[number % len(ids)]
                pair = {"without": (free, b"bench_bypass"), "with": (bound, b"goals_user")}
                for name in ("without", "with") if number % 2 else ("with", "without"):
                    measured = sample(*pair[name], goal_id)
                    if number >= 200:  # plans are settled by then
                        results[name].append(measured)
    print(f"{'microseconds':32}{'p10':>8}{'p50':>8}")
    for column, title in ((0, "point read"), (1, "whole transaction")):
        for name in ("without", "with"):
            low, middle = figures(results[name], column)
            print(f"{f'{title} {name} RLS':32}{low:8.1f}{middle:8.1f}")
    read, whole = cost(results, 0), cost(results, 1)
    print(
        f"RLS costs {read:.1%} of the point read and {whole:.1%} of its transaction; the aim is {AIM:.0%} of the read"
    )
    raise SystemExit(0 if read <= AIM else 1)


if __name__ == "__main__":
    main()
