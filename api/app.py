"""Builds the application: one function, no work at import."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api import errors
from api.limits import RateLimited
from api.metrics import Measured, keep_measuring
from api.middleware import EXPOSED_HEADERS, FrontDoor, Limits
from api.openapi import describe
from api.origins import LOCAL_ORIGIN, STUDIO_ORIGINS
from api.protocol.operation import described
from api.protocol.router import OPERATIONS
from api.routes import routers
from api.searches import searches_measured
from api.services import Services, open_services
from api.settings import Settings
from store.ending import end

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def create_app(settings: Settings, *, services: Services | None = None) -> FastAPI:
    """Return the whole service; `services` lets tests hand in what the lifespan would open."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[Mapping[str, object]]:
        if services is not None:
            app.state.services = services
            yield {}
            return
        with searches_measured():
            async with open_services(settings) as opened:
                app.state.services = opened
                measuring = asyncio.create_task(keep_measuring(opened), name="metrics")
                try:
                    yield {}
                finally:
                    await end([measuring])

    app = FastAPI(title="AI Goals Tracker", lifespan=lifespan, docs_url=None, redoc_url=None)
    for router in routers():
        app.include_router(router)
    errors.install(app)
    describe(app, lambda: described(OPERATIONS))
    app.add_middleware(FrontDoor, limits=Limits(hosts=_hosts(settings)))
    if settings.rate_limit_per_minute:
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url is not None else None
        app.add_middleware(RateLimited, per_minute=settings.rate_limit_per_minute, redis_url=redis_url)
    app.add_middleware(Measured)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins or STUDIO_ORIGINS,
        allow_origin_regex=None if settings.cors_origins else LOCAL_ORIGIN,
        allow_methods=["*"],
        allow_headers=["*"],  # clients add their own, agent-chat-ui X-Auth-Scheme; a token is asked for either way
        allow_private_network=True,
        expose_headers=EXPOSED_HEADERS,
    )
    return app


def _hosts(settings: Settings) -> frozenset[str]:
    # This machine's own names always count: health checks use them, and no page of somebody else can.
    return frozenset({*LOCAL_HOSTS, *map(str.lower, settings.allowed_hosts or (settings.host,))})
