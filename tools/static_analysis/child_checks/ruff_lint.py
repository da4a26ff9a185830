"""Ruff over standard input: the selected codes, and which rule of ours each one speaks for."""

import json
import os
import subprocess
from typing import cast

from ruff import find_ruff_bin
from typing_extensions import TypedDict

from .hits import Hit, short

CODES: dict[str, str] = {
    "F401": "unused-import",
    "F541": "empty-f-string",
    "F601": "duplicate-key",
    "F631": "always-true",
    "F632": "identity-of-literal",
    "F634": "always-true",
    "F811": "redefined",
    "F821": "undefined-name",
    "F822": "undefined-name",
    "F823": "used-before-assignment",
    "F841": "unused-variable",
    "E711": "none-comparison",
    "E712": "boolean-comparison",
    "E721": "type-comparison",
    "E722": "bare-except",
    "W605": "invalid-escape",
    "A001": "shadowed-builtin",
    "A002": "shadowed-builtin",
    "B002": "increment-operator",
    "B005": "strip-many",
    "B006": "mutable-default",
    "B008": "call-in-default",
    "B012": "return-in-finally",
    "B015": "comparison-discarded",
    "B016": "raise-literal",
    "B017": "broad-catch",
    "B018": "expression-discarded",
    "B020": "loop-variable-reused",
    "B023": "late-binding",
    "B025": "duplicate-except",
    "B904": "lost-cause",
    "BLE001": "broad-catch",
    "C901": "too-complex",
    "PERF401": "list-by-append",
    "PERF102": "needless-items",
    "PLE0100": "bad-init",
    "PLE0101": "bad-init",
    "PLE1142": "await-outside-async",
    "PLR0124": "same-on-both-sides",
    "PLW0127": "self-assignment",
    "PLW0603": "global-statement",
    "N804": "wrong-first-parameter",
    "N805": "wrong-first-parameter",
    "RUF006": "lost-task",
    "ASYNC251": "blocking-in-async",
    "ASYNC210": "blocking-in-async",
    "S102": "eval-call",
    "S105": "hardcoded-secret",
    "S106": "hardcoded-secret",
    "S107": "hardcoded-secret",
    "S110": "empty-catch",
    "S112": "empty-catch",
    "S113": "no-timeout",
    "S301": "unsafe-load",
    "S307": "eval-call",
    "S324": "weak-hash",
    "S501": "no-certificate-check",
    "S506": "unsafe-load",
    "S602": "shell-command",
    "S604": "shell-command",
    "S605": "shell-command",
    "S608": "sql-from-parts",
    "SIM103": "return-condition",
    "SIM115": "unclosed-resource",
    "SIM118": "needless-keys",
}
# The first quoted word of these messages is the name they are about; in others it would be the remedy.
NAMED = {"F401", "F811", "F821", "F822", "F823", "F841", "A001", "A002", "B020", "B023", "C901", "PLW0603"}


class _Place(TypedDict):
    row: int
    column: int


class _Message(TypedDict):
    code: str | None
    message: str
    location: _Place
    end_location: _Place


class LintFailed(Exception):
    """Ruff gave no answer: it stopped on this code."""


def lint(code: str) -> list[Hit]:
    """Run ruff with none of its configuration, cache or escape comments; raise LintFailed when it dies."""
    command = [find_ruff_bin(), "check", "-", "--isolated", "--no-cache", "--ignore-noqa", "--exit-zero", "--quiet"]
    command += ["--output-format=json", "--target-version=py313"]
    command += [
        f"--select={','.join(sorted(CODES))}",
        "--config=lint.mccabe.max-complexity=10",
        "--stdin-filename=code.py",
    ]
    # One thread: the default of one per core would break the limit on memory and gain nothing on a single file
    environment = {"RAYON_NUM_THREADS": "1", "LANG": "C.UTF-8", "PATH": os.defpath}
    ended = subprocess.run(command, input=code.encode(), capture_output=True, env=environment, timeout=4, check=False)
    if ended.returncode != 0:
        raise LintFailed(f"ruff ended with {ended.returncode}")
    messages = cast("list[_Message]", json.loads(ended.stdout or b"[]"))
    return [_hit(each, CODES[each["code"]], each["code"] in NAMED) for each in messages if each["code"] in CODES]


def _hit(message: _Message, rule: str, named: bool) -> Hit:
    quoted = message["message"].split("`")
    row = message["location"]["row"]
    # a long block is quoted by its first line: the place to look, not everything that follows
    end = row if rule in {"too-complex", "empty-catch", "bare-except"} else min(message["end_location"]["row"], row + 9)
    return Hit(rule, row, max(row, end), "", short(quoted[1]) if named and len(quoted) > 2 else "")
