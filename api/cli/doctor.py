"""`goals doctor`: what is running, what is not, and how to mend it."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from api.cli.console import out
from api.settings import Settings


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check PostgreSQL, schema, service, model, RabbitMQ, Redis and Parquet; exit 1 when something is broken."""
    from api.cli.checks import State, examine

    marks = {State.OK: "[ok]✓[/ok]", State.WARN: "[warn]![/warn]", State.FAIL: "[fail]✗[/fail]"}
    findings = asyncio.run(examine(Settings()))
    if as_json:
        out.print_json(data=[asdict(finding) for finding in findings])
    else:
        table = Table.grid(padding=(0, 2))
        for finding in findings:
            table.add_row(marks[finding.state], f"[key]{finding.name}[/key]", finding.detail)
            if finding.remedy:
                table.add_row("", "", f"[quiet]{finding.remedy}[/quiet]")
        out.print(table)
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(1)
