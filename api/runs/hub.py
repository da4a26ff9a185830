"""What this process has just committed, and who is waiting for it: spares live readers the way through the database."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from store.frames import Frame

TAIL_FRAMES = 2048
READS_AT_ONCE = 4
"""Of the log, by all readers of a process together: a crowd that joins must not keep runs from a connection."""


class Subscription:
    """One reader's ear on one thread."""

    __slots__ = ("_event", "stale")

    def __init__(self, *, stale: bool = True) -> None:
        self._event = asyncio.Event()
        self.stale = stale
        """Another process, or something else than a frame, changed the thread: only the database knows."""

    def ring(self, *, stale: bool) -> None:
        """Wake the reader."""
        self.stale = self.stale or stale
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Return True when woken, False when `seconds` went by."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class _Tail:
    """The newest frames of a thread, one after the other without gaps."""

    __slots__ = ("_frames", "after")

    def __init__(self, after: int) -> None:
        self.after = after
        """The frame before the first one kept."""
        self._frames: list[Frame] = []

    @property
    def last(self) -> int:
        return self.after + len(self._frames)

    def extend(self, frames: Sequence[Frame]) -> None:
        self._frames.extend(frames)
        if len(self._frames) > 2 * TAIL_FRAMES:
            self.after += len(self._frames) - TAIL_FRAMES
            del self._frames[:-TAIL_FRAMES]

    def since(self, seq: int) -> list[Frame] | None:
        return self._frames[seq - self.after :] if self.after <= seq <= self.last else None


class Hub:
    """Recent frames per thread, kept only while somebody listens or a run is going on here."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._tails: dict[str, _Tail] = {}
        self._kept: Counter[str] = Counter()
        self.reading = asyncio.Semaphore(READS_AT_ONCE)

    @contextmanager
    def subscribe(self, thread_id: str, *, stale: bool = True) -> Generator[Subscription]:
        """Listen to a thread for the length of the block."""
        subscription = Subscription(stale=stale)
        self._listeners[thread_id].add(subscription)
        try:
            yield subscription
        finally:
            self._listeners[thread_id].discard(subscription)
            if not self._listeners[thread_id]:
                del self._listeners[thread_id]
                self._forget(thread_id)

    @property
    def readers(self) -> int:
        """How many streams are open in this process."""
        return sum(map(len, self._listeners.values()))

    def keep(self, thread_id: str, after: int) -> None:
        """Keep what follows `after` until `release`, so that whoever starts a run need not look for its first words."""
        self._kept[thread_id] += 1
        self._tails[thread_id] = _Tail(after)

    def release(self, thread_id: str) -> None:
        """Keep a thread's frames no longer than its readers listen."""
        self._kept[thread_id] -= 1
        if self._kept[thread_id] <= 0:
            del self._kept[thread_id]
        self._forget(thread_id)

    def publish(self, thread_id: str, frames: Sequence[Frame]) -> None:
        """Hand committed frames to the readers; they follow one another without gaps."""
        if thread_id not in self._listeners and thread_id not in self._kept:
            return
        tail = self._tails.get(thread_id)
        if tail is None or tail.last + 1 != frames[0].seq:
            tail = self._tails[thread_id] = _Tail(frames[0].seq - 1)
        tail.extend(frames)
        for subscription in self._listeners.get(thread_id, ()):
            subscription.ring(stale=False)

    def touch(self, thread_id: str) -> None:
        """Tell readers to look into the database."""
        for subscription in self._listeners.get(thread_id, ()):
            subscription.ring(stale=True)

    def touch_all(self) -> None:
        """Tell everybody to look: notifications may have been missed."""
        for thread_id in list(self._listeners):
            self.touch(thread_id)

    def since(self, thread_id: str, seq: int) -> list[Frame] | None:
        """Return the frames after `seq`, or None when only the database can tell."""
        tail = self._tails.get(thread_id)
        return None if tail is None else tail.since(seq)

    def _forget(self, thread_id: str) -> None:
        if thread_id not in self._listeners and thread_id not in self._kept:
            self._tails.pop(thread_id, None)
