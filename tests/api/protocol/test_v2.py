"""The second protocol, through the real python SDK and as bare envelopes."""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import orjson
from langgraph_sdk.client import LangGraphClient

from store.principal import Principal
from tests.api.protocol.conftest import Service

ALL = ["values", "updates", "checkpoints", "messages", "tools", "custom", "lifecycle", "input", "tasks"]
CHAT = {"messages": [{"role": "user", "content": "one two"}]}


async def envelopes(service: Service, who: Principal, thread_id: str, terminals: int = 1, **body: Any) -> list[Any]:
    """Read a thread until its root graph has come to an end `terminals` times."""
    found: list[Any] = []
    headers = {"Authorization": f"Bearer {service.token(who)}"}
    async with (
        asyncio.timeout(20),
        httpx.AsyncClient(base_url=service.url, headers=headers) as http,
        http.stream("POST", f"/threads/{thread_id}/stream/events", json={"channels": ALL, **body}) as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                found.append(orjson.loads(line[6:]))
                params = found[-1]["params"]
                if found[-1]["method"] == "lifecycle" and not params["namespace"]:
                    terminals -= params["data"]["event"] in ("completed", "failed", "interrupted")
                    if not terminals:
                        break
    return found


async def command(service: Service, who: Principal, thread_id: str, method: str, **params: Any) -> Any:
    headers = {"Authorization": f"Bearer {service.token(who)}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers) as http:
        reply = await http.post(f"/threads/{thread_id}/commands", json={"id": 1, "method": method, "params": params})
        return reply.json()


def lifecycle(found: list[Any]) -> list[tuple[str, int]]:
    return [(e["params"]["data"]["event"], len(e["params"]["namespace"])) for e in found if e["method"] == "lifecycle"]


async def test_every_channel_speaks(service: Service, learner: Principal) -> None:
    thread_id = str(uuid4())
    reading = asyncio.create_task(envelopes(service, learner, thread_id))
    await asyncio.sleep(0.1)
    reply = await command(service, learner, thread_id, "run.start", assistant_id="nested", input=CHAT)
    assert reply["type"] == "success"
    found = await reading
    methods = {envelope["method"] for envelope in found}
    assert {"values", "updates", "checkpoints", "messages", "custom", "lifecycle", "tasks"} <= methods
    assert [envelope["seq"] for envelope in found] == list(range(1, len(found) + 1))
    text = [e["params"]["data"]["delta"]["text"] for e in found if e["params"]["data"].get("delta")]
    assert "".join(text) == "ONE TWO "
    assert lifecycle(found) == [("running", 0), ("started", 1), ("completed", 1), ("completed", 0)]
    assert await envelopes(service, learner, thread_id) == found
    for cut in range(1, len(found)):
        assert await envelopes(service, learner, thread_id, since=cut) == found[cut:]


async def test_each_values_follows_its_checkpoint(service: Service, learner: Principal) -> None:
    thread_id = str(uuid4())
    await command(service, learner, thread_id, "run.start", assistant_id="steps", input={"wanted": 3, "taken": []})
    found = await envelopes(service, learner, thread_id)
    pairs = [(a["method"], b["method"]) for a, b in pairwise(found) if b["method"] == "values"]
    assert pairs == [("checkpoints", "values")] * 4


async def test_a_question_is_asked_and_answered(service: Service, learner: Principal) -> None:
    thread_id = str(uuid4())
    await command(service, learner, thread_id, "run.start", assistant_id="approval", input={"topic": "rust"})
    found = await envelopes(service, learner, thread_id)
    asked = next(e["params"]["data"] for e in found if e["method"] == "input.requested")
    assert asked["payload"] == {"question": "Do rust?"}
    assert lifecycle(found)[-1] == ("interrupted", 0)
    answer: dict[str, Any] = {"interrupt_id": asked["interrupt_id"], "namespace": [], "response": "yes"}
    assert (await command(service, learner, thread_id, "input.respond", **answer))["type"] == "success"
    found = await envelopes(service, learner, thread_id, terminals=2)
    values = [e["params"]["data"] for e in found if e["method"] == "values"]
    assert values[-1]["log"] == ["proposed rust for ada", "answer yes", "done"]
    again = await command(service, learner, thread_id, "input.respond", **answer)
    assert (again["type"], again["error"]) == ("error", "no_such_interrupt")


async def test_filters_and_mistakes(service: Service, learner: Principal) -> None:
    thread_id = str(uuid4())
    await command(service, learner, thread_id, "run.start", assistant_id="nested", input=CHAT)
    root = await envelopes(service, learner, thread_id, depth=0)
    assert all(not envelope["params"]["namespace"] for envelope in root)
    assert (await command(service, learner, thread_id, "run.fly"))["error"] == "unknown_command"
    assert (await command(service, learner, thread_id, "run.start", assistant_id="nope"))["type"] == "error"
    headers = {"Authorization": f"Bearer {service.token(learner)}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers) as http:
        bodies: list[dict[str, Any]] = [{}, {"channels": []}, {"channels": ["gossip"]}]
        for body in bodies:
            assert (await http.post(f"/threads/{thread_id}/stream/events", json=body)).status_code == 400
        assert (await http.post(f"/threads/{thread_id}/commands", json={"method": "run.start"})).status_code == 400


async def test_the_python_sdk_speaks_it(client: LangGraphClient) -> None:
    async with asyncio.timeout(20), client.threads.stream(assistant_id="approval") as thread:
        await thread.run.start(input={"topic": "rust"})
        seen = [values async for values in thread.values]
        assert seen[-1]["log"] == ["proposed rust for ada"]
        assert thread.interrupted
        await thread.run.respond("yes")
        assert (await thread.output)["log"][-1] == "done"


async def test_the_python_sdk_streams_text(client: LangGraphClient) -> None:
    async with asyncio.timeout(20), client.threads.stream(assistant_id="echo") as thread:
        await thread.run.start(input=CHAT)
        spoken = [message async for message in thread.messages]
        assert [await message.text for message in spoken] == ["ONE TWO "]
