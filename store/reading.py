"""Reading: what every function asks for that changes nothing."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, LiteralString, TypeAlias, TypeVar

from psycopg import AsyncCursor
from psycopg.rows import AsyncRowFactory, scalar_row

from store.principal import Principal
from store.rows import counted, made

T = TypeVar("T")
Params: TypeAlias = "dict[str, Any] | Sequence[Any] | None"


class Reader(ABC):
    """Reads rows under one identity: inside a `Transaction`, or a statement at a time from `Database.reader`."""

    __slots__ = ("principal",)

    def __init__(self, principal: Principal) -> None:
        self.principal = principal

    async def fetch_one(self, query: LiteralString, params: Params = None, *, row: type[T]) -> T | None:
        """Return the first row as a `row`, or None. Columns must be exactly the fields of `row`."""
        return await (await self._executed(query, params, made(row))).fetchone()

    async def fetch_all(self, query: LiteralString, params: Params = None, *, row: type[T]) -> list[T]:
        """Return all rows as `row`s."""
        return await (await self._executed(query, params, made(row))).fetchall()

    async def fetch_counted(self, query: LiteralString, params: Params = None, *, row: type[T]) -> tuple[list[T], int]:
        """Return all rows as `row`s, and the number every row carries as its last column; 0 without rows."""
        found = await (await self._executed(query, params, counted(row))).fetchall()
        return [item for item, _ in found], found[0][1] if found else 0

    async def fetch_value(self, query: LiteralString, params: Params = None) -> Any:  # noqa: ANN401 - any SQL type
        """Return the first column of the first row, or None."""
        return await (await self._executed(query, params, scalar_row)).fetchone()

    @abstractmethod
    async def _executed(self, query: LiteralString, params: Params, rows: AsyncRowFactory[T]) -> AsyncCursor[T]:
        """Run a statement and return the cursor that holds its answer."""
