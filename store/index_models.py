"""Which model searches use, and which is being built beside it."""

import logging
from dataclasses import dataclass

from store.database import Database, Transaction
from store.principal import SERVICE
from store.relay import SinkUnavailable
from store.vectors import Embedder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexModel:
    """A model the index knows; exactly one is current."""

    model: str
    state: str


async def known(tx: Transaction) -> list[IndexModel]:
    """Return the models of the index, the current one first."""
    return await tx.fetch_all("SELECT model, state FROM index_models ORDER BY state DESC, model", row=IndexModel)


async def current(tx: Transaction) -> str | None:
    """Return the model searches use, or None before anything was indexed."""
    return await tx.fetch_value("SELECT model FROM index_models WHERE state = 'current'")


async def writable(database: Database, embedder: Embedder) -> list[Embedder]:
    """Return the embedders every change must go through: the current model's, and that of one being built.

    The first model to be used becomes the current one. Raises `SinkUnavailable` if this process cannot make the current
    model's vectors: it must not fall back to others, which could never be compared with those in the index.
    """
    async with database.transaction(SERVICE) as tx:
        models = await known(tx)
        if not any(model.state == "current" for model in models):
            await begin(tx, embedder.model)
            await swap(tx, embedder.model)
            models = await known(tx)
    found: list[Embedder] = []
    for model in models:
        maker = embedder.of(model.model)
        if maker is not None:
            found.append(maker)
        elif model.state == "current":
            raise SinkUnavailable(
                f"The index is in {model.model}, which this process cannot make. Give it what that model needs, "
                f"or move the index: goals index rebuild --model {embedder.model}"
            )
    return found


async def begin(tx: Transaction, model: str) -> None:
    """From now on every change is indexed for this model too."""
    await tx.execute(
        "INSERT INTO index_models (model, state) VALUES (%s, 'building') ON CONFLICT (model) DO NOTHING", [model]
    )


async def swap(tx: Transaction, model: str) -> None:
    """Let searches use this model from the end of this transaction on. The one before it is forgotten as a model."""
    await tx.execute("DELETE FROM index_models WHERE state = 'current' AND model <> %s", [model])
    await tx.execute(
        "UPDATE index_models SET state = 'current', changed_at = clock_timestamp() WHERE model = %s", [model]
    )
