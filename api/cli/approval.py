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


CHOICES = {"approve": "\\[a]pprove", "edit": "\\[e]dit", "reject": "\\[r]eject", "respond": "ans\\[w]er"}
LETTERS = {"a": "approve", "e": "edit", "r": "reject", "w": "respond"}


class AtTheTerminal:
    """Shows the card and asks what the service allows: approve, edit, reject or answer."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def __call__(self, waiting: list[Json], told: bool) -> object | None:
        """The decisions for every action."""
        decisions = [
            self._decide(action, _allowed(request, action), brief=told)
            for request in waiting
            for action in actions_of(request)
        ]
        return {"decisions": decisions}

    def _decide(self, action: Json, allowed: list[str], *, brief: bool) -> Json:
        show_action(self._console, action, brief=brief)
        letters = [letter for letter, kind in LETTERS.items() if kind in allowed]
        question = "  " + ", ".join(CHOICES[LETTERS[letter]] for letter in letters) + "?"
        kind = LETTERS[
            Prompt.ask(question, choices=letters, default=letters[0], show_choices=False, console=self._console)
        ]
        if kind == "edit":
            return {"type": "edit", "edited_action": {"name": action["name"], "args": _edited(action.get("args"))}}
        if kind in {"reject", "respond"}:
            asked = "  What should change? (empty: drop it)" if kind == "reject" else "  Your answer"
            return {"type": kind, "message": Prompt.ask(asked, default="", show_default=False, console=self._console)}
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


def _allowed(request: Json, action: Json) -> list[str]:
    """What may be decided about this action; everything when the service does not say."""
    for config in cast("list[Json]", request.get("review_configs") or []):
        if config.get("action_name") == action.get("name"):
            return [str(kind) for kind in config.get("allowed_decisions") or ()]
    return [*CHOICES]


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
