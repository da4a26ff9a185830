"""A thread's log, followed for as long as the thread is the caller's.

Clients make up the ids of threads, and open a thread's stream before their first command creates it. So an unknown
id is waited for. The recent frames a process keeps in memory know no owners: they are read only after the database,
which does, has shown the thread to this caller, and every search in vain looks whether it is still there.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from api.runs.cursor import POLL_SECONDS
from api.runs.engine import Engine
from store import threads
from store.errors import NotFound, Unavailable
from store.frames import Frame
from store.principal import SERVICE, Principal
from store.threads import Thread


async def own_or_new(engine: Engine, caller: Principal, thread_id: str) -> Thread | None:
    """Return the caller's thread, or None for an id that nobody uses; raises NotFound for somebody else's."""
    try:
        async with engine.database.transaction(caller) as tx:
            return await threads.get(tx, thread_id)
    except NotFound:
        try:
            async with engine.database.transaction(SERVICE) as tx:
                await threads.get(tx, thread_id)
        except NotFound:
            return None
    # Somebody has it: the caller, if their first run made it between the two looks.
    async with engine.database.transaction(caller) as tx:
        return await threads.get(tx, thread_id)


async def frames_of(engine: Engine, caller: Principal, thread_id: str, after: int) -> AsyncGenerator[list[Frame]]:
    """Yield a thread's frames in order; waits for a thread that is not there yet, ends when it is gone."""
    with suppress(NotFound):
        with engine.worker.hub.subscribe(thread_id) as told:
            while not await _there(engine, caller, thread_id, otherwise=False):
                await told.wait(POLL_SECONDS)
        async with aclosing(engine.cursor(caller, thread_id, after).follow()) as batches:
            async for batch in batches:
                if batch:
                    yield batch
                elif not await _there(engine, caller, thread_id, otherwise=True):
                    return


async def _there(engine: Engine, caller: Principal, thread_id: str, *, otherwise: bool) -> bool:
    """Whether the caller's thread exists; `otherwise` while nobody can tell. Raises NotFound for somebody else's."""
    try:
        return await own_or_new(engine, caller, thread_id) is not None
    except Unavailable:
        return otherwise
