"""The barrier before an effect: it waits until the checkpoint that names the call is really stored.

The service runs its graphs with durability "sync", where this holds by construction. LangGraph Server chooses "async"
by itself: there a crash can lose the model's turn after its tools have run, and the repeated turn carries new ids that
no ledger can recognise. With "exit" nothing is stored before the end, so effects are refused.
The keys read here are internal to langgraph, which is pinned; a missing one refuses the effect instead of hoping.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver

PATIENCE = 10.0
"""Seconds to wait for a checkpoint that is on its way; a saver one second slow took 1.5 s."""


class NotDurable(RuntimeError):
    """The step that asked for this change is not stored, so the change was refused. Nothing was done; send it again."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or str(self.__doc__))


async def wait(config: RunnableConfig, patience: float = PATIENCE) -> None:
    """Return once every checkpoint this task descends from is stored. Raises NotDurable."""
    settings = cast("Mapping[str, Any]", config.get("configurable", {}))
    mode = settings.get("__pregel_durability")
    if mode == "sync":
        return
    if mode == "exit":
        raise NotDurable
    saver = settings.get("__pregel_checkpointer")
    levels = cast("Mapping[str, str]", settings.get("checkpoint_map") or {})
    if not isinstance(saver, BaseCheckpointSaver) or not levels:
        raise NotDurable
    try:
        async with asyncio.timeout(patience):
            for namespace, checkpoint in levels.items():
                await _stored(cast("BaseCheckpointSaver[str]", saver), settings["thread_id"], namespace, checkpoint)
    except TimeoutError as error:
        raise NotDurable from error


async def _stored(saver: BaseCheckpointSaver[str], thread: str, namespace: str, checkpoint: str) -> None:
    where: RunnableConfig = {
        "configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint}
    }
    pause = 0.01
    while await saver.aget_tuple(where) is None:
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.25)
