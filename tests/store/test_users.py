"""Users: registration, and who may look at whom."""

from datetime import timedelta

import psycopg
import pytest

from store import users
from store.database import Database
from store.errors import Conflict, Forbidden, IllegalTransition, NotFound
from store.principal import SERVICE, Principal
from store.types import Role, UserStatus
from store.users import NewUser
from tests.postgres import Urls


async def _register(database: Database, user_id: str, email: str) -> users.User:
    async with database.transaction(SERVICE) as tx:
        return await users.create(tx, NewUser(id=user_id, email=email, name=user_id.title()))


async def test_an_email_address_belongs_to_one_user(database: Database) -> None:
    await _register(database, "ada", "Ada@example.org")
    with pytest.raises(Conflict, match="email"):
        await _register(database, "eve", "ada@EXAMPLE.org")


async def test_people_see_themselves_and_admins_see_all(
    database: Database, learner: Principal, other_learner: Principal, admin: Principal
) -> None:
    await _register(database, "ada", "ada@example.org")
    async with database.transaction(learner) as tx:
        assert (await users.get_by_email(tx, "ADA@example.org")).id == "ada"
    async with database.transaction(admin) as tx:
        assert (await users.get(tx, "ada")).name == "Ada"
    async with database.transaction(other_learner) as tx:
        with pytest.raises(NotFound):
            await users.get(tx, "ada")
        with pytest.raises(NotFound):
            await users.get_by_email(tx, "ada@example.org")


async def test_nobody_makes_themselves_an_admin(database: Database, learner: Principal) -> None:
    await _register(database, "ada", "ada@example.org")
    async with database.transaction(learner) as tx:
        with pytest.raises(Forbidden, match="admin"):
            await users.update(tx, "ada", {"role": Role.ADMIN})
        with pytest.raises(Forbidden):
            await users.create(tx, NewUser(email="x@example.org", name="X"))


async def test_an_account_is_deactivated_once(database: Database, learner: Principal) -> None:
    await _register(database, "ada", "ada@example.org")
    async with database.transaction(learner) as tx:
        assert (await users.deactivate(tx, "ada")).status is UserStatus.DEACTIVATED
        with pytest.raises(IllegalTransition):
            await users.deactivate(tx, "ada")


async def test_it_is_known_who_was_closed_lately_and_who_ever(
    database: Database, urls: Urls, learner: Principal
) -> None:
    await _register(database, "ada", "ada@example.org")
    await _register(database, "bob", "bob@example.org")
    async with database.transaction(learner) as tx:
        await users.deactivate(tx, "ada")
    (lately,) = await users.closed(database.reader(SERVICE), timedelta(minutes=1))
    assert (lately.user_id, lately.erased) == ("ada", False)
    with psycopg.connect(urls.owner) as connection:
        connection.execute("UPDATE users SET updated_at = updated_at - interval '3 hours' WHERE id = 'ada'")
    assert await users.closed(database.reader(SERVICE), timedelta(hours=2)) == []
    (ever,) = await users.closed(database.reader(SERVICE), None)
    assert 3 * 3600 <= ever.age < 3 * 3600 + 60
