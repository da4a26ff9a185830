"""One way to read frames: from a position onwards, from memory while it is there, from the log otherwise."""

from collections.abc import AsyncGenerator

from api.runs import metrics
from api.runs.hub import Hub, Subscription
from store import frames, runs
from store.database import Database
from store.errors import NotFound, Unavailable
from store.frames import Frame
from store.principal import Principal

POLL_SECONDS = 5.0
"""Behind every notification: what was missed is found after this long."""


class Cursor:
    """A position in a thread's log. Frames come in order, each once, whatever they come from."""

    def __init__(
        self, database: Database, hub: Hub, caller: Principal, thread_id: str, after: int, *, stale: bool = True
    ) -> None:
        self._database = database
        self._hub = hub
        self._caller = caller
        self._thread_id = thread_id
        self._stale = stale
        self.position = after

    async def follow(self) -> AsyncGenerator[list[Frame]]:
        """Yield new frames for ever; an empty list when the log was searched in vain, so callers can check ends."""
        with self._hub.subscribe(self._thread_id, stale=self._stale) as subscription:
            while True:
                batch = None if subscription.stale else self._hub.since(self._thread_id, self.position)
                if batch is None:
                    batch = await self._read(subscription)
                    if not batch:
                        yield batch
                if batch:
                    self.position = batch[-1].seq
                    metrics.CURSOR_LAG.observe(len(batch))
                    yield batch
                elif not subscription.stale and not await subscription.wait(POLL_SECONDS):
                    subscription.stale = True

    async def of_run(self, run_id: str) -> AsyncGenerator[list[Frame]]:
        """Yield the frames of one run until it has ended; the last is always its `end`."""
        async for batch in self.follow():
            mine = [frame for frame in batch if frame.run_id == run_id]
            if mine:
                yield mine
            if any(frame.event == "end" for frame in mine):
                return
            if not batch and (ending := await self._ending(run_id)) is not None:
                yield [ending]
                return

    async def _read(self, subscription: Subscription) -> list[Frame]:
        subscription.stale = False
        try:
            async with self._hub.reading, self._database.transaction(self._caller) as tx:
                return await frames.of_thread(tx, self._thread_id, after=self.position)
        except Unavailable:
            return []  # the next poll asks again; the reader's heartbeat goes on meanwhile

    async def _ending(self, run_id: str) -> Frame | None:
        """The end of a run whose `end` frame will never come: cancelled in the queue, pruned, or rolled back."""
        try:
            async with self._database.transaction(self._caller) as tx:
                run = await runs.get(tx, run_id)
                rest = await frames.of_thread(tx, self._thread_id, after=self.position, limit=1)
                said = await frames.last_of_run(tx, self._thread_id, run_id, "end")
        except NotFound:
            return Frame(self.position, run_id, "end", "", '{"status":"interrupted"}')
        except Unavailable:
            return None
        if rest or not run.status.final:
            return None
        return said or Frame(self.position, run_id, "end", "", f'{{"status":"{run.status}"}}')
