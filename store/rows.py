"""Makes records from the columns of an answer, with the way from column to field found once, not once per row."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

from psycopg import AsyncCursor
from psycopg.rows import AsyncRowFactory, no_result

T = TypeVar("T")
Maker: TypeAlias = Callable[[Sequence[Any]], T]


def made(row: type[T]) -> AsyncRowFactory[T]:
    """Return a row factory like psycopg's `class_row`, which makes a dict of every row on the way."""

    def factory(cursor: AsyncCursor[Any]) -> Maker[T]:
        names = _names(cursor)
        return no_result if names is None else _maker(row, names)

    return factory


def counted(row: type[T]) -> AsyncRowFactory[tuple[T, int]]:
    """Return a row factory for statements whose last column is a number that belongs to all rows."""

    def factory(cursor: AsyncCursor[Any]) -> Maker[tuple[T, int]]:
        names = _names(cursor)
        if names is None:
            return no_result
        make = _maker(row, names[:-1])
        return lambda values: (make(values), values[-1])

    return factory


def _names(cursor: AsyncCursor[Any]) -> tuple[bytes | None, ...] | None:
    # Not from `cursor.description`: it makes an object of each column, which takes longer than reading the row.
    result = cursor.pgresult
    return tuple(map(result.fname, range(result.nfields))) if result is not None and result.nfields else None


@lru_cache(maxsize=256)
def _maker(row: type[T], names: tuple[bytes | None, ...]) -> Maker[T]:
    columns = [(name or b"").decode() for name in names]
    fields: tuple[str, ...] = getattr(row, "__match_args__", ())
    if len(fields) > 1 and sorted(fields) == sorted(columns):
        in_order = itemgetter(*map(columns.index, fields))
        return lambda values: row(*in_order(values))
    return lambda values: row(**dict(zip(columns, values, strict=True)))
