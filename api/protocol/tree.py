"""Which graphs a run has entered, and how each of them stands: `agent.getTree`."""

from typing import Any

import orjson

from api.protocol.envelopes import envelope
from api.runs.engine import Engine
from api.runs.intake import uuid_text
from store import frames, runs, threads
from store.errors import NotFound
from store.principal import Principal

_TELLING = ("@lifecycle", "metadata", "end")


async def tree_of(engine: Engine, caller: Principal, thread_id: str, run_id: object = None) -> dict[str, Any]:
    """Return the tree of a run, of the thread's newest unless one is named; raises NotFound."""
    async with engine.database.transaction(caller) as tx:
        thread = await threads.get(tx, thread_id)
        newest = await runs.of_thread(tx, thread_id, status=None, limit=1, offset=0)
        if run_id is None and not newest:
            raise NotFound("This thread has no run yet.")
        run = newest[0] if run_id is None else await runs.get(tx, uuid_text(run_id, "run"), thread_id)
        told = await frames.of_kinds(tx, thread_id, run.run_id, _TELLING)
    root: dict[str, Any] = {"namespace": [], "status": "started", "graph_name": thread.graph_id, "children": []}
    nodes: dict[tuple[str, ...], dict[str, Any]] = {(): root}
    for frame in told:
        found = envelope(frame)
        if found is None:
            continue
        params: dict[str, Any] = orjson.loads(found[1])
        path, data = tuple(params["namespace"]), params["data"]
        for depth in range(1, len(path) + 1):
            space = path[:depth]
            if space not in nodes:
                name = space[-1].partition(":")[0]
                nodes[space] = {"namespace": list(space), "status": "started", "graph_name": name, "children": []}
                nodes[space[:-1]]["children"].append(nodes[space])
        nodes[path]["status"] = data["event"]
        nodes[path]["graph_name"] = data.get("graph_name") or nodes[path]["graph_name"]
    return root
