"""A service in a process of its own that answers a search and makes a plan: what a trace is read from."""

import asyncio
import sys

import httpx

from api.app import create_app
from api.services import open_services
from api.settings import Settings
from store.principal import Principal
from store.types import Role
from tests.api.serving import served


async def main(secret: str) -> None:
    """Search for the secret and plan around it; prints the status of the plan's answer."""
    settings = Settings(_env_file=None)  # pyright: ignore[reportCallIssue] - a pydantic-settings option
    async with open_services(settings) as services:
        app = create_app(settings)
        app.state.services = services
        token = services.tokens.issue(Principal("ada", Role.LEARNER)).access_token
        async with (
            served(app) as url,
            httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as ada,
        ):
            await ada.get("/search", params={"q": f"{secret} in a query string"})
            thread = (await ada.post("/threads", json={})).json()["thread_id"]
            message = {"role": "user", "content": f"Learn {secret} care in 4 weeks"}
            body = {"assistant_id": "goal_planning", "input": {"messages": [message]}}
            status = (await ada.post(f"/threads/{thread}/runs/wait", json=body)).status_code
            print(status)  # noqa: T201 - read by the test


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
