"""Named places where a test may kill the process: `GOALS_FAULT=<point>:<n>` ends it at the n-th passage of `<point>`.

`GOALS_FAULT=<point>:<n>:stop` freezes it there instead, until somebody sends SIGCONT: a leader that comes back late.
The points are part of the code they test, so that a campaign can prove what survives a kill between any two steps.
Without the variable a point costs one look into the environment.
"""

import os
import signal
from collections import Counter
from typing import Final

POINTS: Final = frozenset(
    {
        "writer.between_statements",
        "writer.before_commit",
        "sequencer.before_cut",
        "sequencer.after_commit",
        "lake.border_fixed",
        "lake.half_written",
        "lake.before_fsync",
        "lake.after_fsync",
        "lake.after_rename",
        "lake.after_directory_fsync",
        "lake.between_files",
        "lake.before_cursor",
        "lake.after_cursor",
        "lake.compacted_written",
        "lake.manifest_written",
        "lake.superseded_removed",
        "broker.before_publish",
        "broker.half_published",
        "broker.before_confirms",
        "broker.before_cursor",
        "broker.after_cursor",
        "prune.before_commit",
        "erase.lake_rewritten",
    }
)
_passages: Counter[str] = Counter()


def fault(point: str) -> None:
    """Kill or freeze this process at once, without cleaning up, if the environment asks for it here."""
    armed = os.environ.get("GOALS_FAULT")
    if armed is None:
        return
    name, _, rest = armed.partition(":")
    if name not in POINTS:
        raise ValueError(f"GOALS_FAULT names no fault point: {name!r}")
    if name == point:
        count, _, how = rest.partition(":")
        _passages[point] += 1
        if _passages[point] == int(count or 1):
            os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)
