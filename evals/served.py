"""Plays a case through the running service: HTTP, SSE and the LangGraph SDK, as an editor would."""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from langchain_core.messages import convert_to_messages
from langgraph_sdk import get_client

from evals import observe, reading
from evals.labels import labels_of, resolved
from evals.play import MOST_QUESTIONS, Scene, Trail, decide, finish
from evals.runs import Outcome, Run

START_SECONDS = 60
_OWN = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")


async def perform(scene: Scene) -> Run:
    """Start the service over the case's own database, drive it with the SDK, stop it, and look at the world."""
    labels = labels_of(scene.world)
    before = await observe.all_rows(scene.urls)
    places = observe.Places(scene.urls, scene.folder / "data" / "lake")  # the lake the service itself writes
    await places.begin()
    trail = Trail()
    async with _service(scene) as (url, token):
        started = time.perf_counter()
        try:
            await _converse(scene, url, token, trail)
        except Exception as error:  # noqa: BLE001 - whatever the service answers is a result of the evaluation
            trail.outcome = Outcome.CRASHED
            trail.error = "".join(traceback.format_exception(error)[-3:])[-1500:]
        seconds = time.perf_counter() - started
    return await finish(scene, trail, reading.Before(before, places, labels), seconds)


async def _converse(scene: Scene, url: str, token: str, trail: Trail) -> None:
    client = get_client(url=url, headers={"Authorization": f"Bearer {token}"})
    thread = await client.threads.create()
    answers = list(scene.sample.script)
    wanted: dict[str, Any] = {"input": resolved(scene.sample.input)}
    context = {**scene.sample.context, "locale": scene.sample.locale}
    for _ in range(MOST_QUESTIONS):
        questions: list[Mapping[str, Any]] = []
        stream = cast(Any, client.runs).stream(
            thread["thread_id"],
            scene.sample.graph,
            stream_mode=["updates"],
            config={"configurable": context},
            **wanted,
        )
        async for part in stream:
            if part.event == "error":
                raise RuntimeError(f"The stream ended with {part.data}")
            if part.event != "updates":
                continue
            for node, update in cast("Mapping[str, Any]", part.data).items():
                if node == "__interrupt__":
                    questions += cast("Sequence[Mapping[str, Any]]", update)
                else:
                    trail.nodes.append(node)
        if not questions:
            break
        resume: dict[str, Any] = {}
        for question in questions:
            decisions = decide(question["value"], answers, trail)
            if decisions is None:
                trail.outcome, trail.error = Outcome.PAUSED, "nobody answers"
                return
            resume[question["id"]] = {"decisions": decisions}
        wanted = {"command": {"resume": resume}}
    state = await client.threads.get_state(thread["thread_id"])
    values = cast("dict[str, Any]", state["values"])
    trail.results.append(values.get("result") or {})
    trail.messages += convert_to_messages(values.get("messages") or [])
    trail.spent = reading.added(trail.spent, values.get("spent") or {})


@asynccontextmanager
async def _service(scene: Scene) -> AsyncGenerator[tuple[str, str]]:
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if name in _OWN} | {
        "PORT": str(port),
        "DATA_DIR": str(scene.folder / "data"),
        "DATABASE_URL": scene.urls.login,
        "MIGRATION_DATABASE_URL": scene.urls.owner,
        "JWT_PRIVATE_KEY": _fresh_key(),
    }
    command = str(Path(sys.executable).with_name("goals"))
    log = (scene.folder / "service.log").open("wb")
    service = await asyncio.create_subprocess_exec(
        command, "serve", env=environment, stdout=log, stderr=log, cwd=scene.folder
    )
    try:
        url = f"http://127.0.0.1:{port}"
        await _ready(url, service, scene)
        minted = await asyncio.create_subprocess_exec(
            command, "token", "--user", scene.sample.who, "--role", "learner", "--json",
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=log, cwd=scene.folder,
        )  # fmt: skip
        answer, _ = await minted.communicate()
        if minted.returncode:
            raise RuntimeError("No token was minted: " + (scene.folder / "service.log").read_text()[-800:])
        yield url, json.loads(answer)["access_token"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            service.terminate()
        try:
            async with asyncio.timeout(15):
                await service.wait()
        except TimeoutError:
            service.kill()
            await service.wait()
        log.close()


async def _ready(url: str, service: asyncio.subprocess.Process, scene: Scene) -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(START_SECONDS):
        while service.returncode is None:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/health")).status_code < 500:
                    return
            await asyncio.sleep(0.2)
    raise RuntimeError("The service did not start: " + (scene.folder / "service.log").read_text()[-800:])


def _fresh_key() -> str:
    """Return a signing key for this one service: with it `goals token` can speak for the learner of the case."""
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
