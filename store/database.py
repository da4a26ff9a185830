"""The pool, and `transaction(principal)`: the only door to a connection."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, LiteralString, Self, TypeAlias, TypeVar

import orjson
import psycopg
from psycopg import AsyncConnection, AsyncCursor, generators
from psycopg.abc import PQGen
from psycopg.errors import error_from_result
from psycopg.pq import Escaping, ExecStatus
from psycopg.rows import AsyncRowFactory
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from store.errors import Unavailable
from store.postgres_errors import translated
from store.principal import Origin, Principal
from store.reading import Params, Reader
from store.types import (
    CourseStatus,
    GoalStatus,
    GoalType,
    Priority,
    Role,
    TaskStatus,
    TaskType,
    UserStatus,
    ValidationStatus,
    Visibility,
)
from store.watchdog import hang_up_after

T = TypeVar("T")
Clock: TypeAlias = Callable[[], datetime]

_ENUMS = {
    "role": Role,
    "user_status": UserStatus,
    "visibility": Visibility,
    "course_status": CourseStatus,
    "goal_type": GoalType,
    "goal_status": GoalStatus,
    "priority": Priority,
    "task_type": TaskType,
    "task_status": TaskStatus,
    "validation_status": ValidationStatus,
}


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings of the deployment that decide what a mutator writes."""

    course_visibility: Visibility = Visibility.COURSE
    """Given to what is made inside a course its maker belongs to; everything else starts private."""
    courses_elsewhere: bool = False
    """True where another service has courses too: who chose the id of one of them would become its owner here."""


class Transaction(Reader):
    """One open transaction under one identity. Callees never commit; the `with` block that opened it does."""

    __slots__ = ("_origin", "connection", "events_recorded", "now", "policy")

    def __init__(
        self, connection: AsyncConnection, principal: Principal, origin: Origin | None, policy: Policy, now: Clock
    ) -> None:
        super().__init__(principal)
        self.connection = connection
        self._origin = origin
        self.policy = policy
        self.now = now
        self.events_recorded = 0

    @property
    def origin(self) -> Origin:
        """Where the changes come from; made up on first use if nobody said, so that reads do not pay for it."""
        if self._origin is None:
            self._origin = Origin()
        return self._origin

    async def execute(self, query: LiteralString, params: Params = None) -> int:
        """Run a statement and return how many rows it touched."""
        cursor: AsyncCursor[Any] = await self.connection.execute(query, params)
        return cursor.rowcount

    async def _executed(self, query: LiteralString, params: Params, rows: AsyncRowFactory[T]) -> AsyncCursor[T]:
        return await self.connection.cursor(row_factory=rows).execute(query, params)

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo everything done inside the block if it raises, and only that."""
        async with self.connection.transaction():
            yield


class _OneTrip(Reader):
    """Each statement travels with the identity it runs under, and is a transaction of its own."""

    __slots__ = ("_database",)

    def __init__(self, database: "Database", principal: Principal) -> None:
        super().__init__(principal)
        self._database = database

    async def _executed(self, query: LiteralString, params: Params, rows: AsyncRowFactory[T]) -> AsyncCursor[T]:
        return await self._database.read(self.principal, query, params, rows)


class Database:
    """A pool of connections to one database, opened with `async with`.

    `url` should name a login without rights of its own that may become `goals_user` and `goals_service`.
    """

    def __init__(
        self,
        url: str,
        *,
        min_size: int = 1,
        max_size: int = 16,
        open_timeout: float = 15.0,
        pool_timeout: float = 5.0,
        statement_timeout: float = 15.0,
        transaction_timeout: float = 30.0,
        answer_timeout: float = 3.0,
        read_timeout: float = 10.0,
        policy: Policy | None = None,
        now: Clock = utc_now,
    ) -> None:
        self.url = url
        self.policy = policy or Policy()
        self.now = now
        self.after_events: Callable[[], None] | None = None
        """Called, never awaited, after the commit of a transaction that recorded events: wakes the sequencer."""
        self._enums: dict[str, EnumInfo] = {}
        self._max_size = max_size
        self._open_timeout = open_timeout
        self._transaction_timeout = transaction_timeout
        self._answer_timeout = answer_timeout
        self._read_timeout = read_timeout
        self._pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            url,
            min_size=min_size,
            max_size=max_size,
            timeout=pool_timeout,
            max_idle=300,
            open=False,
            configure=self._configure,
            name="goals",
            kwargs={
                "autocommit": True,  # BEGIN travels with the identity in one message; see _begin
                "connect_timeout": 5,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "application_name": "goals",
                "options": f"-c timezone=UTC -c statement_timeout={int(statement_timeout * 1000)}"
                " -c idle_in_transaction_session_timeout=60000",
            },
        )

    async def __aenter__(self) -> Self:
        try:
            await self._pool.open(wait=True, timeout=self._open_timeout)
        except PoolTimeout as error:
            await self._pool.close()
            raise Unavailable("The database cannot be reached. `goals doctor` says why.") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    @property
    def pool(self) -> AsyncConnectionPool[AsyncConnection]:
        """The bare pool, for its statistics and for building another door with the same guards; not for queries."""
        return self._pool

    @asynccontextmanager
    async def transaction(
        self, principal: Principal, origin: Origin | None = None, *, epoch: str | None = None
    ) -> AsyncGenerator[Transaction]:
        """Open a transaction in which PostgreSQL itself knows who is asking; commit at the end, roll back on error.

        `epoch` names the claim of a run under which checkpoints are written.
        Raises a `StoreError` for everything the database refuses, `Unavailable` when it cannot be reached.
        """
        connection = await self._begin(principal, epoch)
        tx = Transaction(connection, principal, origin, self.policy, self.now)
        watch = hang_up_after(self._transaction_timeout, connection)
        try:
            try:
                yield tx
            except BaseException:
                await _roll_back(connection)
                raise
            await _commit(connection)
        except psycopg.Error as error:
            raise translated(error) from error
        finally:
            watch.cancel()
            await self._pool.putconn(connection)
        if tx.events_recorded and self.after_events is not None:
            self.after_events()

    def reader(self, principal: Principal) -> Reader:
        """Return what reads under an identity, one statement at a time, without opening a transaction.

        A third of the round trips of a transaction with one statement in it. Several statements see what is committed
        before each, as they would in a READ COMMITTED transaction. PostgreSQL refuses to write through it.
        """
        return _OneTrip(self, principal)

    async def read(
        self, principal: Principal, query: LiteralString, params: Params, rows: AsyncRowFactory[T]
    ) -> AsyncCursor[T]:
        """Run one reading statement in one round trip; see `reader`, which is what to use."""

        async def ask(connection: AsyncConnection) -> AsyncCursor[T]:
            async with connection.pipeline():  # up to its end, what is sent is one transaction
                await connection.execute(_IDENTIFY, _identity(principal), prepare=True)
                cursor = connection.cursor(row_factory=rows)
                await cursor.execute(query, params)
            return cursor

        connection, cursor = await self._heard(ask, self._read_timeout)
        await self._pool.putconn(connection)
        return cursor

    async def check(self) -> None:
        """Raise `Unavailable` unless the database answers now."""
        connection = await self._begin(None)
        try:
            await _send(connection, b"COMMIT")
        except psycopg.Error as error:
            raise translated(error) from error
        finally:
            await self._pool.putconn(connection)

    async def _begin(self, principal: Principal | None, epoch: str | None = None) -> AsyncConnection:
        # Sending the identity together with BEGIN saves a round trip.
        connection, _ = await self._heard(lambda to: _send(to, _opening(to, principal, epoch)), self._answer_timeout)
        return connection

    async def _heard(
        self, speak: Callable[[AsyncConnection], Awaitable[T]], timeout: float
    ) -> tuple[AsyncConnection, T]:
        # The failure of the first words is the check for a connection that died in the pool: such a one is thrown
        # away and the next is tried, so a restart costs no request. The words must be good to be said twice.
        deadline = asyncio.get_running_loop().time() + 2 * self._answer_timeout
        for _ in range(self._max_size + 1):
            try:
                connection = await self._pool.getconn()
            except (PoolTimeout, TooManyRequests, PoolClosed) as error:
                raise Unavailable from error
            watch = hang_up_after(timeout, connection)
            try:
                answer = await speak(connection)
            except BaseException as error:
                await _roll_back(connection)
                await self._pool.putconn(connection)
                if isinstance(error, psycopg.OperationalError) and connection.closed:
                    if asyncio.get_running_loop().time() < deadline:
                        continue
                    raise Unavailable from error
                if isinstance(error, psycopg.Error):
                    raise translated(error) from error
                raise
            finally:
                watch.cancel()
            return connection, answer
        raise Unavailable

    async def _configure(self, connection: AsyncConnection) -> None:
        set_json_dumps(orjson.dumps, connection)
        set_json_loads(orjson.loads, connection)
        for name, members in _ENUMS.items():
            info = self._enums.get(name) or await EnumInfo.fetch(connection, name)
            if info is None:
                raise Unavailable(f"The database has no type {name!r}: run `goals migrate`.")
            self._enums[name] = info
            register_enum(info, connection, members, mapping={member: member.value for member in members})


_IDENTIFY: LiteralString = """
SELECT set_config('role', %s, true), set_config('app.user_id', %s, true), set_config('app.role', %s, true),
       set_config('app.course_ids', %s, true), set_config('transaction_read_only', 'on', true)
"""


def _identity(principal: Principal) -> tuple[str, str, str, str]:
    courses = orjson.dumps(principal.courses).decode() if principal.courses else ""
    role = "goals_service" if principal.role is Role.SERVICE else "goals_user"
    return role, principal.user_id, principal.role.value, courses


def _opening(connection: AsyncConnection, principal: Principal | None, epoch: str | None) -> bytes:
    if principal is None:
        return b"BEGIN"
    escape = Escaping(connection.pgconn).escape_literal
    role, *identity = (bytes(escape(value.encode())) for value in _identity(principal))
    # SET LOCAL rather than SELECT set_config: utility statements are not planned, which halves the server's part.
    settings = b"SET LOCAL app.user_id = %s; SET LOCAL app.role = %s; SET LOCAL app.course_ids = %s"
    opening = b"BEGIN; SET LOCAL ROLE %s; " % role + settings % tuple(identity)
    return opening if epoch is None else opening + b"; SET LOCAL app.epoch = %s" % bytes(escape(epoch.encode()))


async def _send(connection: AsyncConnection, statements: bytes) -> bytes:
    """Run statements that return nothing, without a cursor: BEGIN and COMMIT cost 33 us so, and 78 us with one.

    Returns what PostgreSQL says it did, of the last of them.
    """

    def sending() -> PQGen[bytes]:
        did = b""
        connection.pgconn.send_query(statements)
        for result in (yield from generators.execute(connection.pgconn)):
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
            did = result.command_status or b""
        return did

    return await connection.wait(sending())


async def _commit(connection: AsyncConnection) -> None:
    # Of a transaction in which a statement failed PostgreSQL keeps nothing, and does not call that an error.
    if await _send(connection, b"COMMIT") != b"COMMIT":
        raise psycopg.errors.InFailedSqlTransaction("a statement failed, so nothing of the transaction was kept")


async def _roll_back(connection: AsyncConnection) -> None:
    if connection.closed:
        return
    try:
        await connection.rollback()
    except psycopg.Error:
        await connection.close()
