"""Hashes and checks passwords: argon2id for all, bcrypt still understood, two at a time, off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar, TypeVarTuple

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from api.errors import Problem

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

MAX_CHARS = 128
AT_A_TIME = 2
MAX_WAITING = 64
_BCRYPT_BYTES = 72


class Checked(NamedTuple):
    """Whether a password is right, and the hash to store instead if the old one is weaker than today's."""

    right: bool
    better_hash: str | None = None


class Passwords:
    """A small thread pool for hashing: 19 MiB and about 0.1 s each, so more than two would starve the service."""

    def __init__(self) -> None:
        self._argon = Argon2Hasher(memory_cost=19456, time_cost=2, parallelism=1)
        self._hash = PasswordHash((self._argon, BcryptHasher()))
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="password")
        self._waiting = 0
        self._decoy: str | None = None

    def close(self) -> None:
        """Let running hashes finish and take no more."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return the argon2id hash of a password of at most 128 characters."""
        return await self._run(self._hash.hash, password[: MAX_CHARS + 1])

    async def check(self, password: str, stored: str | None) -> Checked:
        """Check a password; `stored=None` takes as long as a real check, so nobody learns which accounts exist."""
        if len(password) > MAX_CHARS:
            return Checked(False)
        return await self._run(self._check, password, stored)

    def _check(self, password: str, stored: str | None) -> Checked:
        if stored is None:
            self._decoy = self._decoy or self._hash.hash("nobody has this password")
            self._argon.verify(password, self._decoy)
            return Checked(False)
        # bcrypt never looked past 72 bytes; newer versions raise instead of cutting, so old hashes need the cut.
        given = password.encode()[:_BCRYPT_BYTES] if stored.startswith("$2") else password
        try:
            right, better = self._hash.verify_and_update(given, stored)
        except (UnknownHashError, ValueError):
            return Checked(False)
        if right and better is not None and given != password:
            better = self._hash.hash(password)
        return Checked(right, better if right else None)

    async def _run(self, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        if self._waiting >= MAX_WAITING:
            detail = "Too many people are signing in at this moment; try again in a few seconds."
            raise Problem(503, "busy", detail, headers={"Retry-After": "5"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1
