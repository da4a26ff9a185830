"""All routes of the protocol, by the tag under which the OpenAPI document lists them."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter

from api.protocol import assistants, info, runs, socket, state, threads, v2
from api.protocol.operation import Operation

OPERATIONS: Mapping[str, Sequence[Operation]] = {
    "assistants": assistants.routes,
    "threads": [*threads.routes, *state.routes],
    "runs": runs.routes,
    "commands and events": v2.routes,
    "server": info.routes,
}

router = APIRouter()
router.routes.extend(operation for operations in OPERATIONS.values() for operation in operations)
router.routes.extend(socket.sockets)  # which OpenAPI has no words for
