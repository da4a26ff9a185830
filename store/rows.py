"""Makes records from the columns of an answer, with the way from column to field found once per statement."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

from psycopg import AsyncCursor
from psycopg.rows import AsyncRowFactory, class_row

T = TypeVar("T")
Maker: TypeAlias = Callable[[Sequence[Any]], T]


def made(row: type[T]) -> AsyncRowFactory[T]:
    """Return a row factory like psycopg's `class_row`, which builds a dict of every row on the way: a third slower."""

    def factory(cursor: AsyncCursor[Any]) -> Maker[T]:
        columns = [column.name for column in cursor.description or ()]
        return _maker(row, columns) or class_row(row)(cursor)

    return factory


def counted(row: type[T]) -> AsyncRowFactory[tuple[T, int]]:
    """Return a row factory for statements whose last column is a number that belongs to all rows."""

    def factory(cursor: AsyncCursor[Any]) -> Maker[tuple[T, int]]:
        columns = [column.name for column in cursor.description or ()][:-1]
        make = _maker(row, columns)
        if make is None:
            raise TypeError(f"the columns {columns} are not the fields of {row.__name__}")
        return lambda values: (make(values), values[-1])

    return factory


def _maker(row: type[T], columns: Sequence[str]) -> Maker[T] | None:
    names: tuple[str, ...] = getattr(row, "__match_args__", ())
    if len(names) < 2 or sorted(names) != sorted(columns):
        return None
    in_order = itemgetter(*(columns.index(name) for name in names))
    return lambda values: row(*in_order(values))
