"""All routes of the protocol, as plain ASGI routes: LangGraph documents them, and FastAPI's layers cost per call."""

from fastapi import APIRouter

from api.protocol import assistants, info, runs, state, threads, v2

router = APIRouter()
router.routes.extend([*info.routes, *assistants.routes, *threads.routes, *state.routes, *runs.routes, *v2.routes])
