"""How the command line looks and how it fails: in words, with what to do next."""

import time
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.theme import Theme

from store.embedded import EmbeddedError
from store.errors import StoreError

THEME = Theme(
    {
        "ok": "green",
        "warn": "yellow",
        "fail": "bold red",
        "quiet": "bright_black",
        "key": "cyan",
        "tool": "magenta",
        "step": "blue",
    }
)

out = Console(theme=THEME, highlight=False)
"""For answers: what a script would read."""

err = Console(theme=THEME, highlight=False, stderr=True)
"""For progress and problems."""


class Trouble(Exception):
    """Something the person at the terminal can mend; `remedy` says how."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


class Step:
    """One line of progress, changed while it runs."""

    def __init__(self, title: str, status: Status) -> None:
        self.title = title
        self.detail = ""
        self._status = status

    def tell(self, message: str) -> None:
        """Shows what is taking time."""
        self._status.update(f"{self.title} [quiet]{message}[/quiet]")


@contextmanager
def step(title: str, console: Console = out) -> Generator[Step]:
    """Spins while the block runs, then leaves one line with a tick and the time it took, or a cross."""
    began = time.monotonic()
    with console.status(title, spinner="dots", spinner_style="step") as status:
        current = Step(title, status)
        try:
            yield current
        except BaseException:
            console.print(f"[fail]✗[/fail] {current.title}")
            raise
    console.print(
        f"[ok]✓[/ok] {current.title:<38} [quiet]{time.monotonic() - began:4.1f} s  {current.detail}[/quiet]".rstrip()
    )


@contextmanager
def speaking_plainly() -> Generator[None]:
    """Turns foreseeable failures into one sentence and exit code 1; anything else keeps its traceback."""
    try:
        yield
    except Trouble as trouble:
        err.print(f"[fail]{trouble.problem}[/fail]")
        if trouble.remedy:
            err.print(trouble.remedy)
    except (EmbeddedError, StoreError) as error:
        err.print(f"[fail]{error}[/fail]")
    except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege) as error:
        err.print(f"[fail]PostgreSQL cannot be used: {escape(str(error).strip())}[/fail]")
        err.print("`goals doctor` looks at every part.")
    except OSError as error:
        if error.filename is None:
            raise
        err.print(f"[fail]{error.strerror}: {escape(str(error.filename))}[/fail]")
        err.print("DATA_DIR says where everything is kept; `goals doctor` looks at it.")
    except ValidationError as error:
        fields = ", ".join(
            f"{'.'.join(map(str, e['loc'])).upper()} ({e['msg'].removeprefix('Value error, ')})" for e in error.errors()
        )
        err.print(f"[fail]A setting cannot be used: {fields}[/fail]")
        err.print("See .env.example for what each one means.")
    except KeyboardInterrupt:
        err.print("[quiet]Interrupted.[/quiet]")
        raise SystemExit(130) from None
    else:
        return
    raise SystemExit(1)
