"""`goals token`: a bearer token for somebody on this machine, and the local user the embedded default starts with."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.console import Trouble, out
from api.settings import Settings
from store import embedded
from store.principal import SERVICE, Principal
from store.types import Role

if TYPE_CHECKING:
    from store.database import Database

LOCAL_USER = "you"


def mint(settings: Settings, user_id: str, role: Role) -> tuple[str, int]:
    """An access token and its lifetime in seconds, signed with the keys under the data directory."""
    from api.auth.keys import kept_at
    from api.services import open_tokens

    if not settings.embedded and settings.jwt_private_key is None and not kept_at(settings).exists():
        raise Trouble(
            f"The key the service signs with is not here: neither JWT_PRIVATE_KEY nor {kept_at(settings)} is there.",
            "Run this where the service runs, or sign in through POST /auth/token or your own issuer.",
        )
    issued = open_tokens(settings).issue(Principal(user_id, role))
    return issued.access_token, issued.expires_in


async def ensure_user(database: "Database", user_id: str, name: str, role: Role) -> None:
    """Make the user unless there is one of that id."""
    from store import users
    from store.errors import NotFound

    async with database.transaction(SERVICE) as tx:
        try:
            await users.get(tx, user_id)
        except NotFound:
            await users.create(tx, users.NewUser(id=user_id, email=f"{user_id}@localhost", name=name, role=role))


async def _make_user(login_url: str, user_id: str, role: Role, *, link: bool) -> str | None:
    from api.auth import links
    from store.database import Database

    async with Database(login_url, max_size=2) as database:
        await ensure_user(database, user_id, user_id, role)
        return await links.issue(database, user_id) if link else None


def token(
    user: Annotated[str, typer.Option(help="Whose token; the user is made if there is none of that name.")],
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.INSTRUCTOR,
    link: Annotated[bool, typer.Option("--link", help="Print a link that signs in to the page once instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print token and lifetime as JSON.")] = False,
) -> None:
    """Print a bearer token, valid for minutes, where the key of the service is; for the first admin, too."""
    from store import migrate

    if role is Role.SERVICE:
        raise Trouble(
            "No token makes anybody `service`: that role belongs to background work inside the service.",
            "Choose learner, instructor or admin.",
        )
    settings = Settings()
    if link and not settings.embedded:
        raise Trouble("Sign-in links are for the embedded default.", "With DATABASE_URL set, sign in with a password.")
    access_token, seconds = mint(settings, user, role)
    signing_in = None
    if settings.embedded:
        with embedded.start(settings.data_dir) as server:
            migrate.upgrade(server.owner_url)
            signing_in = asyncio.run(_make_user(server.login_url, user, role, link=link))
    if signing_in is not None:
        out.print(f"{settings.url}/#sign-in={signing_in}", soft_wrap=True)
    elif as_json:
        out.print_json(data={"access_token": access_token, "token_type": "bearer", "expires_in": seconds})
    else:
        out.print(access_token, soft_wrap=True)
