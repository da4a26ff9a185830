"""How many frames a WebSocket may send: a steady rate, with some in hand for a burst."""

import time

from api.errors import Problem

FRAMES_PER_SECOND = 20
BURST = 40


class Allowance:
    """What is left for one connection."""

    def __init__(self) -> None:
        self._left, self._counted = float(BURST), time.monotonic()

    def take(self) -> None:
        """Count one frame; raises Problem 429 when it is one too many."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._counted) * FRAMES_PER_SECOND)
        self._counted = now
        if self._left < 1:
            raise Problem(429, "too_many_requests", f"Send at most {FRAMES_PER_SECOND} frames a second.")
        self._left -= 1
