"""Opens everything the application needs, in order, and closes it again in the reverse order."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from api.auth import keys
from api.auth.external import ExternalIssuer, Trust
from api.auth.passwords import Passwords
from api.auth.sign_in import SignIns
from api.auth.tokens import Tokens
from api.settings import Settings
from store import embedded, migrate
from store.database import Database

logger = logging.getLogger(__name__)


@dataclass
class Services:
    """What routes, sockets and runs work with; one per process, on `app.state.services`."""

    settings: Settings
    database: Database
    tokens: Tokens
    passwords: Passwords
    sign_ins: SignIns


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
        url = await _database_url(settings, stack)
        database = await stack.enter_async_context(Database(url, max_size=settings.database_pool_max))
        yield stack.enter_context(assembled(settings, database))


@contextmanager
def assembled(settings: Settings, database: Database) -> Generator[Services]:
    """Put the services together around an open database."""
    tokens = open_tokens(settings)
    passwords = Passwords()
    try:
        yield Services(
            settings=settings,
            database=database,
            tokens=tokens,
            passwords=passwords,
            sign_ins=SignIns(database, tokens, passwords, timedelta(days=settings.jwt_refresh_days)),
        )
    finally:
        passwords.close()


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
