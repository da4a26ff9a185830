"""What this process has just committed, and who is waiting for it: spares live readers the way through the database."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from store.frames import Frame

TAIL_FRAMES = 2048


class Subscription:
    """One reader's ear on one thread."""

    __slots__ = ("_event", "stale")

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.stale = True
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


class Hub:
    """Recent frames per thread, kept only while somebody listens."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._tails: dict[str, deque[Frame]] = {}

    @contextmanager
    def subscribe(self, thread_id: str) -> Generator[Subscription]:
        """Listen to a thread for the length of the block."""
        subscription = Subscription()
        self._listeners[thread_id].add(subscription)
        try:
            yield subscription
        finally:
            self._listeners[thread_id].discard(subscription)
            if not self._listeners[thread_id]:
                del self._listeners[thread_id]
                self._tails.pop(thread_id, None)

    @property
    def readers(self) -> int:
        """How many streams are open in this process."""
        return sum(map(len, self._listeners.values()))

    def publish(self, thread_id: str, frames: Sequence[Frame]) -> None:
        """Hand committed frames to the readers; they follow one another without gaps."""
        if thread_id not in self._listeners:
            return
        tail = self._tails.get(thread_id)
        if tail is None or not tail or tail[-1].seq + 1 != frames[0].seq:
            tail = self._tails[thread_id] = deque(maxlen=TAIL_FRAMES)
        tail.extend(frames)
        for subscription in self._listeners[thread_id]:
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
        if not tail or not tail[0].seq <= seq + 1 <= tail[-1].seq + 1:
            return None
        return [frame for frame in tail if frame.seq > seq] if seq < tail[-1].seq else []
