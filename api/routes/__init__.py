"""Every router of the application, in the order in which paths are tried."""

from importlib import import_module
from importlib.util import find_spec

from fastapi import APIRouter

_MODULES = (
    "api.routes.goals",
    "api.routes.tasks",
    "api.routes.snapshots",
    "api.routes.events",
    "api.routes.users",
    "api.routes.courses",
    "api.routes.search",
    "api.routes.auth",
    "api.routes.health",
    "api.protocol.router",
    "api.ws",
    "api.metrics",
    "api.page",
)


def routers() -> list[APIRouter]:
    """Return the routers; each module of the list offers one as `router`."""
    modules = [import_module(name) for name in _MODULES if find_spec(name) is not None]
    return [module.router for module in modules if hasattr(module, "router")]
