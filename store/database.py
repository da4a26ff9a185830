"""The pool, and `transaction(principal)`: the only door to a connection."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
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
from psycopg.rows import class_row, scalar_row
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from store.errors import Unavailable
from store.postgres_errors import translated
from store.principal import Origin, Principal
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
Params: TypeAlias = "dict[str, Any] | Sequence[Any] | None"
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


class Transaction:
    """One open transaction under one identity. Callees never commit; the `with` block that opened it does."""

    __slots__ = ("_origin", "connection", "events_recorded", "now", "policy", "principal")

    def __init__(
        self, connection: AsyncConnection, principal: Principal, origin: Origin | None, policy: Policy, now: Clock
    ) -> None:
        self.connection = connection
        self.principal = principal
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

    async def fetch_one(self, query: LiteralString, params: Params = None, *, row: type[T]) -> T | None:
        """Return the first row as a `row`, or None. Columns must be exactly the fields of `row`."""
        async with self.connection.cursor(row_factory=class_row(row)) as cursor:
            await cursor.execute(query, params)
            return await cursor.fetchone()

    async def fetch_all(self, query: LiteralString, params: Params = None, *, row: type[T]) -> list[T]:
        """Return all rows as `row`s."""
        async with self.connection.cursor(row_factory=class_row(row)) as cursor:
            await cursor.execute(query, params)
            return await cursor.fetchall()

    async def fetch_value(self, query: LiteralString, params: Params = None) -> Any:  # noqa: ANN401 - any SQL type
        """Return the first column of the first row, or None."""
        async with self.connection.cursor(row_factory=scalar_row) as cursor:
            await cursor.execute(query, params)
            return await cursor.fetchone()

    async def execute(self, query: LiteralString, params: Params = None) -> int:
        """Run a statement and return how many rows it touched."""
        cursor: AsyncCursor[Any] = await self.connection.execute(query, params)
        return cursor.rowcount

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo everything done inside the block if it raises, and only that."""
        async with self.connection.transaction():
            yield


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
    async def transaction(self, principal: Principal, origin: Origin | None = None) -> AsyncGenerator[Transaction]:
        """Open a transaction in which PostgreSQL itself knows who is asking; commit at the end, roll back on error.

        Raises a `StoreError` for everything the database refuses, `Unavailable` when it cannot be reached.
        """
        connection = await self._begin(principal)
        tx = Transaction(connection, principal, origin, self.policy, self.now)
        watch = hang_up_after(self._transaction_timeout, connection)
        try:
            try:
                yield tx
            except BaseException:
                await _roll_back(connection)
                raise
            await _send(connection, b"COMMIT")
        except psycopg.Error as error:
            raise translated(error) from error
        finally:
            watch.cancel()
            await self._pool.putconn(connection)
        if tx.events_recorded and self.after_events is not None:
            self.after_events()

    async def check(self) -> None:
        """Raise `Unavailable` unless the database answers now."""
        connection = await self._begin(None)
        try:
            await _send(connection, b"COMMIT")
        except psycopg.Error as error:
            raise translated(error) from error
        finally:
            await self._pool.putconn(connection)

    async def _begin(self, principal: Principal | None) -> AsyncConnection:
        # Sending the identity together with BEGIN saves a round trip, and its failure is the check for a connection
        # that died in the pool: such a one is thrown away and the next is tried, so a restart costs no request.
        deadline = asyncio.get_running_loop().time() + 2 * self._answer_timeout
        for _ in range(self._max_size + 1):
            try:
                connection = await self._pool.getconn()
            except (PoolTimeout, TooManyRequests, PoolClosed) as error:
                raise Unavailable from error
            watch = hang_up_after(self._answer_timeout, connection)
            try:
                await _send(connection, _opening(connection, principal))
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
            return connection
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


def _opening(connection: AsyncConnection, principal: Principal | None) -> bytes:
    if principal is None:
        return b"BEGIN"
    escape = Escaping(connection.pgconn).escape_literal
    role = b"goals_service" if principal.role is Role.SERVICE else b"goals_user"
    # SET LOCAL rather than SELECT set_config: utility statements are not planned, which halves the server's part.
    identity = b"SET LOCAL app.user_id = %s; SET LOCAL app.role = %s; SET LOCAL app.course_ids = %s"
    return b"BEGIN; SET LOCAL ROLE %s; " % role + identity % (
        bytes(escape(principal.user_id.encode())),
        bytes(escape(principal.role.value.encode())),
        bytes(escape(orjson.dumps(principal.courses) if principal.courses else b"")),
    )


async def _send(connection: AsyncConnection, statements: bytes) -> None:
    """Run statements that return nothing, without a cursor: BEGIN and COMMIT cost 33 us so, and 78 us with one."""

    def sending() -> PQGen[None]:
        connection.pgconn.send_query(statements)
        for result in (yield from generators.execute(connection.pgconn)):
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)

    await connection.wait(sending())


async def _roll_back(connection: AsyncConnection) -> None:
    if connection.closed:
        return
    try:
        await connection.rollback()
    except psycopg.Error:
        await connection.close()
