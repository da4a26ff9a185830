"""One writer per process commits the frames of all its runs together: at most fifty commits a second."""

import asyncio
import logging
import time
from collections.abc import Callable

from api.runs import metrics
from api.runs.hub import Hub
from store import frames
from store.database import Database
from store.errors import StoreError
from store.frames import Frame, Lease
from store.principal import SERVICE

PAUSE_SECONDS = 0.02
FIRST_WORDS_SECONDS = 0.004
"""The first words of a run wait no longer than this for company."""
FRAMES_PER_COMMIT = 2000
_WORDS = frozenset({"messages", "messages/partial", "@messages"})

log = logging.getLogger(__name__)


class Outbox:
    """The frames of one run on their way into the log."""

    __slots__ = (
        "born",
        "committed",
        "failed",
        "haste",
        "lease",
        "pending",
        "seen",
        "seq",
        "spoken",
        "thread_id",
        "writer",
    )

    def __init__(self, writer: "FrameWriter", lease: Lease, thread_id: str, seq: int) -> None:
        self.writer = writer
        self.lease = lease
        self.thread_id = thread_id
        self.seq = seq
        self.pending: list[Frame] = []
        self.committed = asyncio.Event()
        self.born = time.monotonic()
        self.seen = False
        self.spoken = False
        self.haste = 3
        """So many frames of words are hurried: some models begin with empty ones."""
        self.failed = False
        """The lease was lost; nothing this worker says counts any more."""

    def add(self, event: str, namespace: str, data: str) -> Frame:
        """Append a frame; it reaches readers once it is committed."""
        self.seq += 1
        frame = Frame(self.seq, self.lease.run_id, event, namespace, data)
        self.pending.append(frame)
        self.writer.wake(self)
        if self.haste and event in _WORDS:
            self.haste -= 1
            self.writer.hurry()
        return frame

    def measure(self, batch: list[Frame]) -> None:
        """Note how long the first frame and the first words took to become visible."""
        if not self.seen:
            self.seen = True
            metrics.FIRST_FRAME.observe(time.monotonic() - self.born)
        if not self.spoken and any(frame.event in _WORDS for frame in batch):
            self.spoken = True
            metrics.FIRST_TOKEN.observe(time.monotonic() - self.born)

    async def drained(self) -> bool:
        """Wait until everything said so far is in the log; False when the lease was lost instead."""
        while self.pending and not self.failed:
            self.committed.clear()
            await self.committed.wait()
        return not self.failed


class FrameWriter:
    """Collects what runs say and appends it to the log in common transactions, at once when idle."""

    def __init__(self, database: Database, hub: Hub, sender: str, written: Callable[[int], None]) -> None:
        self._database = database
        self._hub = hub
        self.sender = sender
        self._written = written
        self._waiting: dict[Outbox, None] = {}
        self._event = asyncio.Event()
        self._haste = asyncio.Event()

    def hurry(self) -> None:
        """Write soon: somebody waits for the first words of an answer."""
        self._haste.set()

    def wake(self, outbox: Outbox) -> None:
        """Note that an outbox has something to say."""
        self._waiting[outbox] = None
        self._event.set()

    def publish(self, thread_id: str, written: list[Frame]) -> None:
        """Show frames that another transaction committed."""
        self._hub.publish(thread_id, written)
        self._written(len(written))

    @property
    def backlog(self) -> int:
        """Frames not committed yet."""
        return sum(len(outbox.pending) for outbox in self._waiting)

    async def run(self) -> None:
        """Write until cancelled. While the database is away frames wait here, and their runs with them."""
        pause = PAUSE_SECONDS
        while True:
            await self._event.wait()
            self._event.clear()
            try:
                while self._waiting:
                    self._haste.clear()
                    await self._commit()
                    pause = PAUSE_SECONDS
                    await self._rest()
            except StoreError as error:
                log.warning("frames wait for the database: %s", error)
                self._event.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    async def _rest(self) -> None:
        """Let frames gather, shorter when an answer has just begun."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(PAUSE_SECONDS):
                await self._haste.wait()
        except TimeoutError:
            return
        await asyncio.sleep(max(0.0, FIRST_WORDS_SECONDS - (time.monotonic() - began)))

    async def _commit(self) -> None:
        taken: list[tuple[Outbox, list[Frame]]] = []
        room = FRAMES_PER_COMMIT
        for outbox in list(self._waiting):
            batch = outbox.pending[:room]
            taken.append((outbox, batch))
            room -= len(batch)
            if room <= 0:
                break
        async with self._database.transaction(SERVICE) as tx:
            held = await frames.append(
                tx,
                [frame for _, batch in taken for frame in batch],
                [outbox.lease for outbox, _ in taken],
                self.sender,
            )
        for outbox, batch in taken:
            del outbox.pending[: len(batch)]
            if not outbox.pending:
                del self._waiting[outbox]
            if outbox.lease.run_id not in held:
                outbox.failed = True
                outbox.pending.clear()
                self._waiting.pop(outbox, None)
            elif batch:
                self.publish(outbox.thread_id, batch)
                outbox.measure(batch)
            outbox.committed.set()
