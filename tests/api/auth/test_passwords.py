"""Passwords: argon2id for all, bcrypt understood, and no clue about who has an account."""

import asyncio
from collections.abc import Iterator

import bcrypt
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from api.auth import passwords as module
from api.auth.passwords import Passwords
from api.errors import Problem

PASSWORD = "correct horse battery"


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """A hashing desk."""
    desk = Passwords()
    yield desk
    desk.close()


async def test_a_hash_is_argon2id_with_the_agreed_cost(passwords: Passwords) -> None:
    hashed = await passwords.hash(PASSWORD)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.check(PASSWORD, hashed) == (True, None)
    assert await passwords.check("wrong horse battery", hashed) == (False, None)


async def test_a_bcrypt_hash_is_accepted_and_replaced(passwords: Passwords) -> None:
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    checked = await passwords.check(PASSWORD, old)
    assert checked.right
    assert checked.better_hash is not None
    assert await passwords.check(PASSWORD, checked.better_hash) == (True, None)
    assert not (await passwords.check("wrong", old)).right


async def test_a_password_longer_than_bcrypt_looks_survives_the_upgrade(passwords: Passwords) -> None:
    long = "é" * 60
    old = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    checked = await passwords.check(long, old)
    assert checked.better_hash is not None
    assert (await passwords.check(long, checked.better_hash)).right
    assert not (await passwords.check("é" * 59, checked.better_hash)).right


@pytest.mark.parametrize("stored", ["", "$2b$", "plain", "$argon2id$broken", "$md5$x"])
async def test_a_damaged_hash_lets_nobody_in(passwords: Passwords, stored: str) -> None:
    assert await passwords.check(PASSWORD, stored) == (False, None)


async def test_an_unknown_user_costs_a_whole_hash(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    verify = Argon2Hasher.verify

    def counting(hasher: Argon2Hasher, password: str | bytes, stored: str | bytes) -> bool:
        verified.append(str(stored))
        return verify(hasher, password, stored)

    monkeypatch.setattr(Argon2Hasher, "verify", counting)
    assert await passwords.check(PASSWORD, None) == (False, None)
    assert len(verified) == 1
    assert "$m=19456,t=2,p=1$" in verified[0]


async def test_too_long_passwords_are_not_even_hashed(passwords: Passwords) -> None:
    assert await passwords.check("x" * 129, None) == (False, None)


async def test_a_crowd_is_asked_to_come_back(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    outcomes = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(6)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Problem)]
    assert len(refused) == 3
    assert refused[0].status_code == 503
