"""Opens everything the application needs, in order, and closes it again in the reverse order."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from api.auth import keys
from api.auth.closed import closed_accounts_refused
from api.auth.external import ExternalIssuer, Trust
from api.auth.passwords import Passwords
from api.auth.sign_in import SignIns
from api.auth.tokens import Tokens
from api.expiry import expiring
from api.runs.engine import Engine, Limits, run_executor
from api.settings import Settings
from api.shared_cache import RedisCache
from api.tracing import tracing
from api.worker import EventPath, EventPathConfig, event_path
from graphs import GRAPHS
from graphs.deps import Deps
from graphs.opening import EmbedderConfig, Embedders, ModelSettings, Offline, offline_rules, open_embedder, open_models
from store import embedded, migrate
from store.database import Database, Policy
from store.index import IndexSink

logger = logging.getLogger(__name__)


@dataclass
class Services:
    """What routes, sockets and runs work with; one per process, on `app.state.services`."""

    settings: Settings
    database: Database
    tokens: Tokens
    passwords: Passwords
    sign_ins: SignIns
    events: EventPath
    embedder: Embedders
    deps: Deps
    runs: Engine


def open_tokens(settings: Settings) -> Tokens:
    """Build the token desk from settings alone; the command line uses it without a running service."""
    return Tokens(
        keys=keys.load(settings),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        lifetime=timedelta(minutes=settings.jwt_access_minutes),
        external=_external(settings),
    )


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncGenerator[Services]:
    """Start PostgreSQL if it is ours, migrate, open the pool; stop all of it at the end."""
    async with AsyncExitStack() as stack:
        stack.enter_context(tracing(settings))
        url = await _database_url(settings, stack)
        policy = Policy(courses_elsewhere=settings.jwt_external_issuer is not None)
        database = await stack.enter_async_context(Database(url, max_size=settings.database_pool_max, policy=policy))
        yield await stack.enter_async_context(assembled(settings, database))


@asynccontextmanager
async def assembled(
    settings: Settings,
    database: Database,
    *,
    offline: Offline = Offline.AUTO,
    relaying: bool = True,
    limits: Limits | None = None,
) -> AsyncGenerator[Services]:
    """Put the services together around an open database.

    `offline` lets tests do without the embedding model's weights; without `relaying` events stay in PostgreSQL until
    another process carries them on.
    """
    async with AsyncExitStack() as stack:
        tokens = open_tokens(settings)
        passwords = Passwords()
        stack.callback(passwords.close)
        embedder = await _embedder(settings, offline, stack)
        events = await stack.enter_async_context(
            event_path(_event_path_config(settings, relaying), database, [IndexSink(database, embedder)])
        )
        await stack.enter_async_context(expiring(database))
        await stack.enter_async_context(closed_accounts_refused(database, events.wakeups, tokens))
        models = await stack.enter_async_context(open_models(_model_settings(settings), offline_rules()))
        deps = Deps(database=database, models=models, embedder=embedder)
        builders = {name: build(deps) for name, build in GRAPHS.items()}
        # Opened last, so that it closes first: runs that are handed back still find everything they need.
        limits = limits or Limits(runs_per_user=settings.runs_per_user)
        runs = await stack.enter_async_context(run_executor(database, builders, limits))
        yield Services(
            settings=settings,
            database=database,
            tokens=tokens,
            passwords=passwords,
            sign_ins=SignIns(database, tokens, passwords, timedelta(days=settings.jwt_refresh_days)),
            events=events,
            embedder=embedder,
            deps=deps,
            runs=runs,
        )


async def _embedder(settings: Settings, offline: Offline, stack: AsyncExitStack) -> Embedders:
    key = settings.openai_api_key
    config = EmbedderConfig(
        openai_api_key=key.get_secret_value() if key is not None else None,
        openai_base_url=settings.openai_base_url,
        offline=offline,
    )
    shared = None
    if settings.redis_url is not None:
        shared = await stack.enter_async_context(RedisCache(settings.redis_url.get_secret_value()))
    return await asyncio.to_thread(open_embedder, config, shared)


def _event_path_config(settings: Settings, relaying: bool) -> EventPathConfig:
    broker = settings.rabbitmq_url
    return EventPathConfig(
        lake_uri=settings.lake,
        rabbitmq_url=broker.get_secret_value() if broker is not None else None,
        relaying=relaying,
    )


def _model_settings(settings: Settings) -> ModelSettings:
    return ModelSettings(
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        plan=settings.model_plan,
        review=settings.model_review,
        explain=settings.model_explain,
    )


async def _database_url(settings: Settings, stack: AsyncExitStack) -> str:
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        if settings.migration_database_url is not None:
            await asyncio.to_thread(migrate.upgrade, settings.migration_database_url.get_secret_value())
        return url
    server = await asyncio.to_thread(stack.enter_context, embedded.start(settings.data_dir))
    await asyncio.to_thread(migrate.upgrade, server.owner_url)
    return server.login_url


def _external(settings: Settings) -> ExternalIssuer | None:
    if settings.jwt_external_issuer is None:
        return None
    secret = settings.jwt_external_secret
    return ExternalIssuer(
        Trust(
            issuer=settings.jwt_external_issuer,
            audience=settings.jwt_external_audience or settings.jwt_audience,
            jwks_url=settings.jwt_external_jwks_url,
            secret=secret.get_secret_value() if secret is not None else None,
            role_claim=settings.jwt_external_role_claim,
            courses_claim=settings.jwt_external_courses_claim,
        )
    )
