"""The library bench/events.py is measured against: eventsourcing 9.5.6, used as its documentation shows.

It is no dependency of the service: `pip install eventsourcing==9.5.6` before running the comparison.
"""

# The library is installed for the measurement only, so the checker does not know it.
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUntypedFunctionDecorator=false, reportUntypedBaseClass=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL


@dataclass
class Goal(Aggregate):
    """A goal with the fields our own benchmark changes."""

    title: str
    progress_percentage: float = 0.0
    status: str = "pending"

    @event("ProgressUpdated")
    def update_progress(self, percentage: float, status: str) -> None:
        self.progress_percentage = percentage
        self.status = status


class Goals(Application):
    """The application whose goals also have rows."""


class GoalRows(PostgresTrackingRecorder):
    """A row per goal, written together with the place in the log it comes from."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS peer_goals (id uuid PRIMARY KEY, title text NOT NULL,"
                " progress_percentage double precision NOT NULL, status text NOT NULL, version bigint NOT NULL)"
            )
        )

    def add(self, created: Any, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO peer_goals VALUES (%s, %s, 0, 'pending', 1)", [created.originator_id, created.title]
            )

    def change(self, changed: Any, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "UPDATE peer_goals SET progress_percentage = %s, status = %s, version = %s WHERE id = %s",
                [changed.percentage, changed.status, changed.originator_version, changed.originator_id],
            )


class GoalProjection(Projection[GoalRows]):
    """Keeps the rows in step with the events."""

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if isinstance(domain_event, Goal.ProgressUpdated):
            self.view.change(domain_event, tracking)
        else:
            self.view.add(domain_event, tracking)


def _environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    folder = parse_qs(parts.query)["host"][0]
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.removeprefix("/"),
        "POSTGRES_HOST": folder,
        "POSTGRES_PORT": parse_qs(parts.query).get("port", ["5432"])[0],
        "POSTGRES_USER": parts.username or "postgres",
        "POSTGRES_PASSWORD": "unused",  # pragma: allowlist secret
        "POSTGRES_POOL_SIZE": "16",
        "POSTGRES_MAX_OVERFLOW": "4",
        "IS_SNAPSHOTTING_ENABLED": "y",
    }


def open_application(url: str) -> Application:
    """Open the library on the same PostgreSQL, in its default mode."""
    return Application(env=_environment(url))


def rows_rate(url: str, writers: int, seconds: float) -> float:
    """Return events per second until each has reached its goal's row too, by the library's own projection."""
    with ProjectionRunner(
        application_class=Goals, projection_class=GoalProjection, view_class=GoalRows, env=_environment(url)
    ) as runner:
        started = time.perf_counter()
        written = append_rate(runner.app, writers, seconds) * (time.perf_counter() - started)
        runner.wait(runner.app.recorder.max_notification_id(), timeout=120)
        return written / (time.perf_counter() - started)


def append_rate(application: Application, writers: int, seconds: float) -> float:
    """Return events per second of so many threads, each saving one event of its own aggregate at a time."""
    counts = [0] * writers
    until = time.perf_counter() + seconds

    def write(index: int) -> None:
        goal = Goal(title="Learn Rust")
        application.save(goal)
        while time.perf_counter() < until:
            goal.update_progress(float(counts[index] % 100), "in_progress")
            application.save(goal)
            counts[index] += 1

    threads = [threading.Thread(target=write, args=[index]) for index in range(writers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def make_long(application: Application, events: int) -> UUID:
    """Store one aggregate with so many events and return its id."""
    goal = Goal(title="Learn Rust")
    for index in range(events - 1):
        goal.update_progress(float(index % 100), "in_progress")
        if index % 500 == 0:
            application.save(goal)
    application.save(goal)
    identity: UUID = goal.id
    return identity


def replay_seconds(application: Application, identity: UUID) -> float:
    """Return how long it takes to load the aggregate from its events."""
    started = time.perf_counter()
    application.repository.get(identity)
    return time.perf_counter() - started
