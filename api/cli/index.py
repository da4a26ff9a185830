"""`goals index`: how far the search index is, whether it is right, and building it anew in another model."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from api.cli.console import Trouble, err, out
from api.settings import Settings
from store import embedded, index_build, index_check, index_models
from store.database import Database
from store.index_build import Progress
from store.principal import SERVICE
from store.vectors import Embedder

if TYPE_CHECKING:
    from graphs.opening import Embedders

app = typer.Typer(help="The search index: status, rebuild, verify.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]


@app.command()
def status(as_json: Json = False) -> None:
    """Show the models of the index, what could not be embedded, and how many events wait."""
    asyncio.run(_status(as_json))


@app.command()
def rebuild(
    model: Annotated[str | None, typer.Option(help="The model to move to; the best available by default.")] = None,
    as_json: Json = False,
) -> None:
    """Embed everything anew in a model, then let searches move to it; they go on with the old one until then."""
    asyncio.run(_rebuild(model, as_json))


@app.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Index what differs, and try again what failed.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the index with the rows it is made from; exit 1 when they differ."""
    if not asyncio.run(_verify(repair, as_json)):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Open:
    database: Database
    embedders: "Embedders"
    owner_url: str | None


@asynccontextmanager
async def _opened() -> AsyncGenerator[_Open]:
    from graphs.opening import EmbedderConfig, open_embedder

    settings = Settings()
    key = settings.openai_api_key
    embedders = open_embedder(EmbedderConfig(key.get_secret_value() if key else None, settings.openai_base_url))
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            server = stack.enter_context(embedded.start(settings.data_dir))
            from store import migrate

            await asyncio.to_thread(migrate.upgrade, server.owner_url)
            url, owner = server.login_url, server.owner_url
        else:
            secret = settings.migration_database_url
            url, owner = settings.database_url.get_secret_value(), secret.get_secret_value() if secret else None
        # A command may take as long as it takes; the service's own limit is for requests.
        database = await stack.enter_async_context(
            Database(url, max_size=4, statement_timeout=600, transaction_timeout=600)
        )
        yield _Open(database, embedders, owner)


async def _status(as_json: bool) -> None:
    async with _opened() as index:
        report = await index_check.status(index.database)
        preferred = index.embedders.model
    if as_json:
        out.print_json(data={**asdict(report), "preferred": preferred})
        return
    table = Table("model", "state", "entities", "chunks", "failed", "MB in all", box=None)
    for each in report.models:
        table.add_row(
            each.model, each.state, str(each.entities), str(each.chunks), str(each.failed), f"{each.bytes / 1e6:.1f}"
        )
    out.print(table if report.models else "Nothing is indexed yet.")
    out.print(f"{report.waiting} events wait to be indexed, the oldest for {report.oldest_seconds:.0f} s.")
    if report.models and report.models[0].model != preferred:
        out.print(f"[warn]This machine would use {preferred}: goals index rebuild --model {preferred}[/warn]")


async def _rebuild(model: str | None, as_json: bool) -> None:
    async with _opened() as index:
        embedder = index.embedders.of(model) if model else index.embedders
        if embedder is None:
            raise Trouble(
                f"This machine cannot make vectors of the model {model!r}.", "Set OPENAI_API_KEY, or install it."
            )
        with Bars(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err
        ) as bars:
            rows = {stage: bars.add_task(stage.value, total=None, visible=False) for stage in index_build.Stage}

            def show(progress: Progress) -> None:
                bars.update(rows[progress.stage], completed=progress.done, total=progress.total, visible=True)

            await index_build.rebuild(index.database, embedder, owner_url=index.owner_url, report=show)
        report = await index_check.status(index.database)
    if as_json:
        out.print_json(data=asdict(report))
    else:
        current = report.models[0]
        out.print(f"Searches use {current.model}: {current.chunks} chunks of {current.entities} entities.")


async def _verify(repair: bool, as_json: bool) -> bool:
    async with _opened() as index:
        embedder = await _current(index)
        found = await index_check.differences(index.database, embedder.model)
        if repair and found:
            await index_build.repair(index.database, embedder)
            await index_build.retry_failed(index.database, embedder)
            found = await index_check.differences(index.database, embedder.model)
        async with index.database.transaction(SERVICE) as tx:
            miscounted = await index_check.count_again(tx)
    if as_json:
        out.print_json(data={"differences": [asdict(each) for each in found], "miscounted_scopes": miscounted})
    else:
        for each in found[:50]:
            out.print(f"{each.kind:8} {each.entity_type} {each.entity_id} {each.reason or ''}")
        out.print(f"{len(found)} differences; {miscounted} scope sizes were put right.")
    return not found


async def _current(index: _Open) -> Embedder:
    async with index.database.transaction(SERVICE) as tx:
        model = await index_models.current(tx)
    embedder = index.embedders.of(model) if model else index.embedders
    if embedder is None:
        raise Trouble(f"The index is in {model}, which this machine cannot make.", "Set OPENAI_API_KEY, or rebuild it.")
    return embedder
