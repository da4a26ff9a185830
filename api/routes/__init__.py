"""Every router of the application, in the order in which paths are tried."""

from fastapi import APIRouter

from api import metrics, page, ws
from api.protocol import router as protocol
from api.routes import auth, courses, events, goals, health, search, snapshots, tasks, users

_REST = (goals, tasks, snapshots, events, users, courses, search, auth, health)


def routers() -> list[APIRouter]:
    """Return the routers; each module offers one as `router`."""
    return [module.router for module in (*_REST, protocol, ws, metrics, page)]
