"""`goals migrate` and `goals openapi`: what a deployment runs around the service."""

import json
from contextlib import ExitStack
from typing import Annotated

import typer

from api.cli.console import Trouble, err, out
from api.settings import Settings
from store import embedded


def owner_url(settings: Settings, stack: ExitStack) -> str:
    """The URL that may change the schema; the embedded server is held for as long as `stack` is open."""
    if settings.migration_database_url is not None:
        return settings.migration_database_url.get_secret_value()
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return stack.enter_context(embedded.start(settings.data_dir, _tell)).owner_url


def migrate(
    to: Annotated[str, typer.Option(help="The revision to stop at; an older one goes back.")] = "head",
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when revisions are missing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Bring the database to the newest schema (or to --to REVISION)."""
    import sqlalchemy.exc

    from store import migrate as migrations

    known = migrations.revisions()
    if to not in ("head", "base", *known):
        raise Trouble(f"There is no revision {to!r}.", f"There are {known[0]} to {known[-1]}, head and base.")
    with ExitStack() as stack:
        url = owner_url(Settings(), stack)
        missing = migrations.pending(url)
        if check:
            _report(as_json, {"pending": missing}, f"{len(missing)} revisions are missing." if missing else "Current.")
            raise typer.Exit(1 if missing else 0)
        before = migrations.current(url)
        try:
            (migrations.upgrade if to == "head" or before is None or to in missing else migrations.downgrade)(url, to)
        except sqlalchemy.exc.DBAPIError as error:
            raise Trouble(
                f"The database refused: {error.orig}", "Only its owner may: MIGRATION_DATABASE_URL."
            ) from error
        after = migrations.current(url)
    _report(as_json, {"before": before, "after": after}, f"The schema stands at {after}; before: {before or 'empty'}.")


def openapi(
    output: Annotated[
        typer.FileTextWrite, typer.Option("--output", "-o", help="Where to write; default stdout.")
    ] = "-",  # pyright: ignore[reportArgumentType] - Typer opens it
) -> None:
    """Print the OpenAPI document, without starting anything."""
    from api.app import create_app

    json.dump(create_app(Settings()).openapi(), output, indent=2)
    output.write("\n")


def _tell(message: str) -> None:
    err.print(f"[quiet]{message}[/quiet]")


def _report(as_json: bool, outcome: dict[str, object], sentence: str) -> None:
    if as_json:
        out.print_json(data=outcome)
    else:
        out.print(sentence)
