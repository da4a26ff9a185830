"""Asks the person at the terminal what to do with a proposed plan."""

import json
import sys
from collections.abc import Mapping
from typing import Any, cast

import click
from rich.console import Console
from rich.prompt import Prompt

from api.cli.cards import show_action
from api.cli.console import Trouble

Json = Mapping[str, Any]


class AtTheTerminal:
    """Shows the card and asks: approve, edit or reject."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def __call__(self, waiting: list[Json], told: bool) -> object | None:
        """The decisions for every action; None when there is nobody to ask."""
        decisions = [self._decide(action, brief=told) for request in waiting for action in actions_of(request)]
        return {"decisions": decisions}

    def _decide(self, action: Json, *, brief: bool) -> Json:
        show_action(self._console, action, brief=brief)
        choice = Prompt.ask(
            "  [bold]a[/bold]pprove, [bold]e[/bold]dit or [bold]r[/bold]eject?",
            choices=["a", "e", "r"],
            default="a",
            show_choices=False,
            console=self._console,
        )
        if choice == "r":
            reason = Prompt.ask("  What should change? (empty: drop it)", default="", show_default=False)
            return {"type": "reject", "message": reason}
        if choice == "e":
            return {"type": "edit", "edited_action": {"name": action["name"], "args": _edited(action.get("args"))}}
        return {"type": "approve"}


class Agreeing:
    """Approves everything, and says so."""

    def __init__(self, console: Console, remark: str) -> None:
        self._console = console
        self._remark = remark

    async def __call__(self, waiting: list[Json], told: bool) -> object | None:
        """One approval per action."""
        found = [action for request in waiting for action in actions_of(request)]
        for action in found:
            show_action(self._console, action, brief=told)
        self._console.print(f"  [ok]✓[/ok] {self._remark}\n")
        return {"decisions": [{"type": "approve"} for _ in found]}


class Leaving:
    """Shows what waits and leaves it waiting: there is nobody to ask."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def __call__(self, waiting: list[Json], told: bool) -> object | None:
        """Never an answer."""
        for request in waiting:
            for action in actions_of(request):
                show_action(self._console, action, brief=told)


def actions_of(request: Json) -> list[Json]:
    """The action requests of an interrupt's value; raises Trouble for a shape this version does not know."""
    if error := request.get("error"):
        raise Trouble(f"The answer was not understood: {error}")
    found = request.get("action_requests")
    if not isinstance(found, list) or not found:
        raise Trouble("The service asks something this command cannot show.", "Use Studio or the page for this thread.")
    return cast("list[Json]", found)


def _edited(args: object) -> object:
    """Opens the plan in $EDITOR as JSON until it reads as JSON again; leaving without saving keeps it."""
    text = json.dumps(args, indent=2, ensure_ascii=False)
    while True:
        changed = click.edit(text, extension=".json")
        if changed is None:
            return args
        try:
            return json.loads(changed)
        except ValueError as error:
            text = changed
            sys.stderr.write(f"That is not JSON yet: {error}. Opening it again.\n")
