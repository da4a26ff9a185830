"""The checkpointer of one run: LangGraph's PostgreSQL saver, under the caller's row-level security."""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.checkpoint.postgres import aio
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]

from store import checkpoints
from store.checkpoints import Batch
from store.database import Database
from store.principal import Principal

# How many checkpoints the library reads at a time on its way back to the last snapshot of a list: it needs those of
# 25 turns or so; its 1,024 made a turn of a long thread twice as dear. The version is pinned, a test reads many pages.
aio._DELTA_PAGE_SIZE = 128  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


class RunSaver(AsyncPostgresSaver):
    """A saver that opens every transaction as `principal` and writes under `epoch`.

    Make one per run: a saver holds one lock around all its calls, so a shared one lets runs wait for each other
    (21 steps/s against 207 with 16 runs and the database 10 ms away).

    A step's results and the state after it are asked to be written at about the same time. What has been asked for by
    the moment a transaction is open is written and committed together, and each caller waits for that commit.
    """

    def __init__(self, database: Database, principal: Principal, *, epoch: str | None) -> None:
        # The pool only satisfies the parent's signature: connections come from `_cursor` below, with an identity.
        super().__init__(database.pool, serde=_Serializer(principal))  # pyright: ignore[reportArgumentType] # the row type is set per cursor
        self._database = database
        self._principal = principal
        self._epoch = epoch
        self._asked: list[_Asked] = []

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote; as the parent does, without a thread for a few microseconds of work."""
        at: Any = config.get("configurable", {})
        rows = self._dump_writes(at["thread_id"], at["checkpoint_ns"], at["checkpoint_id"], task_id, task_path, writes)
        last_stays = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        await self._write(Batch(overwrites=[*rows]) if last_stays else Batch(writes=[*rows]))

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncGenerator[Any]:
        if pipeline:
            recorder = _Recorder(self)
            yield recorder
            if recorder.other:
                async with self.lock, checkpoints.cursor(self._database, self._principal, epoch=self._epoch) as cursor:
                    for query, params in recorder.other:
                        await cursor.execute(cast("Any", query), params)
            if recorder.batch:
                await self._write(recorder.batch)
        else:
            async with self.lock, checkpoints.cursor(self._database, self._principal, epoch=self._epoch) as cursor:
                yield cursor

    async def _write(self, batch: Batch) -> None:
        mine = _Asked(batch)
        self._asked.append(mine)
        try:
            async with self.lock:
                if not mine.over:
                    await self._write_all()
        finally:
            if mine in self._asked:  # cancelled
                self._asked.remove(mine)
        if mine.failure is not None:
            raise mine.failure

    async def _write_all(self) -> None:
        taken: list[_Asked] = []
        failure: Exception | None = None
        try:
            async with self._database.transaction(self._principal, epoch=self._epoch) as tx:
                taken, self._asked = self._asked, []
                together = Batch()
                for asked in taken:
                    together.add(asked.batch)
                await checkpoints.write(tx, together)
        except asyncio.CancelledError:
            self._asked[:0] = taken  # whoever was taken along goes on without this one
            raise
        except Exception as error:  # noqa: BLE001 - everybody who waits for this commit hears of it
            taken, self._asked = taken or self._asked, self._asked if taken else []
            failure = error
        for asked in taken:
            asked.over, asked.failure = True, failure

    async def setup(self) -> None:
        """Do nothing: the migrations made the tables."""


SNAPSHOT_BYTES = (20_000, 8_000_000)
"""From which size on snapshots are remembered, and how much of them altogether."""


class _Snapshots:
    """The snapshots read last, by the digest of what was read. Savers ask from many threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, list[Any]]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> list[Any] | None:
        with self._lock:
            if key not in self._known:
                return None
            self._known.move_to_end(key)
            return self._known[key][1]

    def add(self, key: str, size: int, value: list[Any]) -> None:
        with self._lock:
            self._bytes += size - self._known.pop(key, (0,))[0]
            self._known[key] = (size, value)
            while self._bytes > SNAPSHOT_BYTES[1]:
                self._bytes -= self._known.popitem(last=False)[1][0]


_SNAPSHOTS = _Snapshots()


class _Serializer(JsonPlusSerializer):
    """LangGraph's, which remembers what long message histories looked like.

    Every turn of a thread reads its last snapshot; turning 1,000 messages into objects costs more than the rest of the
    turn. What the database returned is compared by its digest, so nothing stale and nothing of others' is ever used.
    """

    def __init__(self, principal: Principal) -> None:
        # Strict: a checkpoint that names a Python type nobody allowed comes back as plain data, not as a call.
        super().__init__(allowed_msgpack_modules=None)
        self._user = principal.user_id

    def loads_typed(self, data: tuple[str, bytes]) -> Any:  # noqa: ANN401 - whatever was stored
        """Return the stored value; a snapshot's list is the caller's own, its messages may be shared."""
        kind, body = data
        if len(body) < SNAPSHOT_BYTES[0]:
            return super().loads_typed(data)
        key = f"{self._user} {kind} {hashlib.blake2b(body, digest_size=20).hexdigest()}"
        messages = _SNAPSHOTS.get(key)
        if messages is None:
            value = super().loads_typed(data)
            if not (isinstance(value, _DeltaSnapshot) and isinstance(value.value, list)):
                return value
            messages = cast("list[Any]", value.value)
            _SNAPSHOTS.add(key, len(body), messages)
        return _DeltaSnapshot([*messages])


class _Asked:
    """Rows somebody waits for."""

    __slots__ = ("batch", "failure", "over")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.over = False
        self.failure: Exception | None = None


class _Recorder:
    """Takes the place of the parent's writing cursor and keeps the rows instead of sending them one by one."""

    def __init__(self, saver: AsyncPostgresSaver) -> None:
        self.batch = Batch()
        self.other: list[tuple[str, Any]] = []
        self._rows = {
            saver.UPSERT_CHECKPOINTS_SQL: self.batch.states,
            saver.UPSERT_CHECKPOINT_BLOBS_SQL: self.batch.blobs,
        }

    async def execute(self, query: str, params: Sequence[Any]) -> None:
        """Keep one row, or a statement of another kind."""
        if query in self._rows:
            self._rows[query].append(params)
        else:
            self.other.append((query, params))

    async def executemany(self, query: str, rows: Sequence[Sequence[Any]]) -> None:
        """Keep many rows."""
        self._rows[query].extend(rows)


def checkpointer(database: Database, principal: Principal, *, epoch: str | None = None) -> AsyncPostgresSaver:
    """Return the saver for one run (with its epoch) or for one look at a thread (without)."""
    return RunSaver(database, principal, epoch=epoch)
