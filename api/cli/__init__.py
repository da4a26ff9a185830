"""The goals command: one Typer application, to which other rooms add theirs."""

import logging
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

import typer

from api.cli import doctor, house, plan, serve, tokens, worker
from api.cli.console import err, speaking_plainly

_PARTS = ("events", "index")


def build() -> typer.Typer:
    """The whole command line. Parts keep their heavy imports inside their commands, so that help stays quick."""
    app = typer.Typer(
        name="goals",
        help="AI Goals Tracker: plans, checks and guides a learner's work.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(serve.serve)
    app.command()(plan.plan)
    app.command()(house.migrate)
    app.command()(doctor.doctor)
    app.command()(house.openapi)
    app.command()(tokens.token)
    app.command()(worker.worker)
    for name in _PARTS:
        if find_spec(f"api.cli.{name}") is not None:
            app.add_typer(import_module(f"api.cli.{name}").app, name=name)
    # The evals live in a room this one may not import; they announce themselves through the package metadata.
    for entry in sorted(entry_points(group="goals.commands"), key=lambda entry: entry.name):
        try:
            app.add_typer(entry.load(), name=entry.name)
        except ImportError as error:
            err.print(f"[warn]goals {entry.name} is missing: {error}[/warn]")
    return app


def main() -> None:
    """Entry point of the console script."""
    # A command ends by saying that the database is away; it need not say so at every try.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    with speaking_plainly():
        build()()
