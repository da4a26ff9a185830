"""How a proposed plan looks in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

Json = Mapping[str, Any]


def show_action(console: Console, action: Json, *, brief: bool = False) -> None:
    """Print one thing that waits for approval: a plan as a card, or its one line when `brief`; else its description."""
    args = _mapping(action.get("args"))
    plan = _mapping(args.get("plan")) or args
    tasks = _sequence(plan.get("tasks"))
    if not tasks:
        description = str(action.get("description") or action.get("name") or "An action")
        console.print(Panel(Text(description), title="Waiting for your approval", border_style="warn"))
        return
    title = str(plan.get("title") or "Proposed plan")
    if brief:
        console.print(f"\n  [step]■[/step] [bold]{escape(title)}[/bold] [quiet]{_summary(tasks, plan)}[/quiet]")
        return
    parts: list[RenderableType] = []
    if outcome := plan.get("outcome") or plan.get("description"):
        parts += [Text(str(outcome)), Text()]
    parts.append(_tasks(tasks))
    if summary := _summary(tasks, plan):
        parts += [Text(), Text(summary, style="quiet")]
    console.print(Panel(Group(*parts), title=f"[bold]{escape(title)}[/bold]", border_style="step", padding=(1, 2)))


def _tasks(tasks: Sequence[Json]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False, expand=True)
    table.add_column("", style="quiet", justify="right")
    table.add_column("Task", ratio=1)
    table.add_column("Kind", style="key")
    table.add_column("Time", style="quiet", justify="right")
    table.add_column("After", style="quiet")
    places = {str(task.get("key") or task.get("id") or number): number for number, task in enumerate(tasks, 1)}
    for number, task in enumerate(tasks, 1):
        after = ", ".join(str(places.get(str(key), key)) for key in task.get("depends_on") or ())
        table.add_row(
            str(number),
            str(task.get("title", "")),
            str(task.get("kind") or task.get("type") or ""),
            duration(task.get("est_minutes") or task.get("estimated_minutes")),
            after,
        )
    return table


def duration(minutes: object) -> str:
    """`95` becomes `1 h 35`."""
    if not isinstance(minutes, int | float):
        return ""
    hours, rest = divmod(int(minutes), 60)
    return f"{hours} h {rest:02}" if hours and rest else f"{hours} h" if hours else f"{rest} min"


def _summary(tasks: Sequence[Json], plan: Json) -> str:
    minutes = sum(int(task.get("est_minutes") or task.get("estimated_minutes") or 0) for task in tasks)
    parts = [f"{len(tasks)} tasks", duration(minutes)]
    schedule = _mapping(plan.get("schedule"))
    if weeks := schedule.get("weeks"):
        parts.append(f"{weeks} weeks")
    if finish := schedule.get("finish_on"):
        parts.append(f"done by {finish}")
    return " · ".join(part for part in parts if part)


def _mapping(value: object) -> Json:
    return cast("Json", value) if isinstance(value, Mapping) else {}


def _sequence(value: object) -> list[Json]:
    return [item for item in cast("list[Json]", value) if item] if isinstance(value, list) else []
