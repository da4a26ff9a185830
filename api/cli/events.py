"""`goals events`: look into the log, follow it, prove it, mend it, shorten it, and erase a person from it."""

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
import typer

from api.cli.console import Trouble, err, out

app = typer.Typer(help="The event log and its three places.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one document or one event per line.")]
User = Annotated[str | None, typer.Option(help="See what this user may see; default: everything.")]


def _entity_type(name: str) -> str:
    from store.event_types import EventType

    known = sorted({kind.entity for kind in EventType})
    if name not in known:
        raise Trouble(f"Nothing is recorded about {name!r}.", f"It is one of: {', '.join(known)}.")
    return name


EntityType = Annotated[
    str,
    typer.Argument(help="goal, task, code_snapshot, course, user, enrollment, session, ...", callback=_entity_type),
]
EntityId = Annotated[str, typer.Argument(help="Its id.")]


def _run(work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the command returns
    return asyncio.run(work)


def _print_json(value: object) -> None:
    out.print(orjson.dumps(value, default=str).decode(), soft_wrap=True, markup=False)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Where the log ends and how far every sink has come."""
    from api.cli import events_work as work

    found = _run(work.status())
    if as_json:
        _print_json(found)
        return
    out.print(f"Position {found['position']}, epoch {found['epoch']}, pruned up to {found['pruned_to']}")
    for sink in found["sinks"]:
        mark = "[warn]●[/warn]" if sink["last_error"] or sink["parked"] else "[ok]●[/ok]"
        tail = f", {sink['parked']} parked" if sink["parked"] else ""
        tail += f": {sink['last_error']}" if sink["last_error"] else ""
        out.print(f"{mark} {sink['name']:<10} at {sink['position']}, {sink['lag']} behind{tail}", highlight=False)


@app.command()
def history(
    entity_type: EntityType,
    entity_id: EntityId,
    user: User = None,
    skip: Annotated[int, typer.Option(min=0)] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """What happened to an entity, oldest first; deleted entities and pruned events included."""
    from api.cli import events_work as work

    page = _run(work.history(entity_type, entity_id, user, skip, limit))
    for event in page.items:
        if as_json:
            _print_json(asdict(event))
        else:
            what = orjson.dumps(event.payload.get("changes", event.payload)).decode()
            out.print(
                f"{event.entity_version:>5}  {event.recorded_at:%F %T}  {event.type:<28} {event.actor}  {what}",
                markup=False,
                soft_wrap=True,
            )
    if not as_json and page.total > skip + len(page.items):
        err.print(f"[quiet]{page.total} in all; more with --skip {skip + len(page.items)}[/quiet]")


@app.command()
def replay(
    entity_type: EntityType,
    entity_id: EntityId,
    user: User = None,
    version: Annotated[int | None, typer.Option(min=1, help="As it was at this version.")] = None,
    at: Annotated[str | None, typer.Option(help="As it was then: 2026-01-31T12:00:00Z.")] = None,
    position: Annotated[int | None, typer.Option(min=0, help="As it was at this position of the log.")] = None,
) -> None:
    """An entity as it was at a version, a time or a position; without any of them, as it is. Prints JSON."""
    from api.cli import events_work as work

    _print_json(asdict(_run(work.replay(entity_type, entity_id, user, version, _moment(at), position))))


@app.command()
def system(
    at: Annotated[str, typer.Argument(help="The moment: 2026-01-31T12:00:00Z.")],
    user: User = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    skip: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Everything as it was at one moment, one entity per line of JSON."""
    from api.cli import events_work as work

    state = _run(work.system(_moment(at), user, skip, limit))
    for entity in state.entities:
        _print_json(asdict(entity))
    err.print(f"[quiet]{state.total} entities at position {state.position}[/quiet]")


@app.command()
def follow(
    after: Annotated[int | None, typer.Option(min=0, help="Begin behind this position; default: from now on.")] = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Print events as they happen, until Ctrl-C."""
    from api.cli import events_work as work

    def show(event: Any) -> None:  # noqa: ANN401 - store.event_rows.Event, imported late
        if as_json:
            _print_json(asdict(event))
        else:
            out.print(
                f"{event.position:>8}  {event.recorded_at:%H:%M:%S}  {event.type:<28} {event.entity_id}  {event.actor}",
                markup=False,
                soft_wrap=True,
            )

    try:
        _run(work.follow(after, user, show))
    except KeyboardInterrupt:
        return


@app.command()
def flush() -> None:
    """Bring everything committed so far into the lake now."""
    from api.cli import events_work as work

    if not _run(work.flush()):
        raise Trouble("The lake did not take everything in time.", "`goals events status` says why.")
    out.print("[ok]✓[/ok] Everything committed so far is in the lake.")


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Compare PostgreSQL, Parquet and RabbitMQ; name the first difference of each. Exit 1 when there is one."""
    from api.cli import events_work as work

    report = _run(work.verify())
    if as_json:
        _print_json(asdict(report))
    else:
        messages = "RabbitMQ not configured" if report.messages is None else f"{report.messages} messages"
        out.print(
            f"{report.positions} positions in {report.batches} batches, {report.files} files, {messages},"
            f" {report.rows} rows compared"
        )
        for found in report.differences:
            place = found.place if found.position is None else f"{found.place} at {found.position}"
            out.print(f"[fail]✗[/fail] {place}: {found.what}", highlight=False)
        if report.sound:
            out.print("[ok]✓[/ok] All places hold the same events.")
    raise typer.Exit(0 if report.sound else 1)


@app.command()
def repair() -> None:
    """Write missing or damaged files of the lake again from PostgreSQL. `verify` says what is needed."""
    from api.cli import events_work as work

    done = _run(work.repair())
    for path in done.written:
        out.print(f"[ok]✓[/ok] written: {path}", soft_wrap=True)
    for path in done.removed:
        out.print(f"[ok]✓[/ok] removed: {path}", soft_wrap=True)
    for positions in done.lost:
        out.print(f"[fail]✗[/fail] positions {positions} were pruned from PostgreSQL: restore the files from a backup")
    if not (done.written or done.removed or done.lost):
        out.print("[ok]✓[/ok] Nothing to repair.")
    raise typer.Exit(1 if done.lost else 0)


@app.command()
def prune(
    older_than: Annotated[int, typer.Option(min=1, help="Days that stay in PostgreSQL.")] = 90,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A sink nobody runs any more: it holds nothing back.")
    ] = None,
) -> None:
    """Remove old events from PostgreSQL that the lake provably holds; replay then reads them from there."""
    from api.cli import events_work as work

    done = _run(work.prune(datetime.now(UTC) - timedelta(days=older_than), frozenset(ignore or ())))
    held = f"; held back by the sink {done.held_back_by}" if done.held_back_by else ""
    out.print(f"[ok]✓[/ok] {done.events} events pruned, up to position {done.pruned_to}{held}")


@app.command()
def parked(as_json: AsJson = False) -> None:
    """List events that were set aside because a sink cannot take them."""
    from api.cli import events_work as work

    for row in _run(work.parked()):
        if as_json:
            _print_json(row)
        else:
            out.print(f"{row['sink']:<10} {row['position']:>8}  tried {row['attempts']}x  {row['error']}", markup=False)


@app.command()
def unpark(
    sink: Annotated[str, typer.Argument(help="The sink.")],
    position: Annotated[int | None, typer.Argument(min=1, help="One position; default: all of the sink.")] = None,
) -> None:
    """Have parked events delivered again by the running service."""
    from api.cli import events_work as work

    count = _run(work.unpark(sink, position))
    if not count:
        raise Trouble("Nothing is parked there.", "`goals events parked` lists what is.")
    out.print(f"[ok]✓[/ok] {count} will be delivered again; `goals events parked` shows what fails again")


@app.command()
def redeliver(
    sink: Annotated[str, typer.Argument(help="broker, index or snapshots.")],
    after: Annotated[int, typer.Option(min=0, help="Begin behind this position.")],
) -> None:
    """Let a sink receive everything behind a position again; consumers drop what they have seen."""
    from api.cli import events_work as work

    _run(work.redeliver(sink, after))
    out.print(f"[ok]✓[/ok] {sink} gets everything behind position {after} again.")


@app.command("erase-user")
def erase_user(
    user_id: Annotated[str, typer.Argument(help="Whose content goes.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person's content from rows, events, Parquet and the log queue. Cannot be undone."""
    from api.cli import events_work as work

    if not yes:
        typer.confirm(f"Erase everything {user_id!r} wrote, in every place?", abort=True)
    done = _run(work.erase(user_id))
    queue = "; the log queue was made anew" if done.log_queue else ""
    out.print(f"[ok]✓[/ok] {done.rows} rows, {done.events} events, {done.files} files{queue}")


@app.command()
def adopt(yes: Annotated[bool, typer.Option("--yes", help="All writers are stopped; do not ask.")] = False) -> None:
    """After a restore: begin a new epoch on this database and set aside what the lake knows of an undone future."""
    from api.cli import events_work as work

    if not yes:
        typer.confirm("Are all processes that write to this database stopped?", abort=True)
    out.print(f"[ok]✓[/ok] Epoch {_run(work.adopt())} begins. Start the service again.")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Trouble(f"{text!r} is not a time.", "Write it as 2026-01-31T12:00:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
