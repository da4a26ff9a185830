"""Everything the store refuses or cannot do.

    StoreError
    ├── NotFound            not there, or not the caller's to see: the two are never told apart
    ├── Conflict            somebody or something else was first
    │   └── VersionConflict
    ├── Invalid             the request itself cannot be right
    │   ├── IllegalTransition
    │   └── PayloadRejected
    ├── Forbidden           the caller may see it and still not do that
    ├── TooMany             the caller has enough of it for now
    └── Unavailable         the database cannot answer now; trying again later is right

The docstring of each class is its default message. Messages are written for the person who made the request.
"""

import inspect


class StoreError(Exception):
    """The store refused the request."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(self.__doc__ or ""))


class NotFound(StoreError):
    """Nothing of that id is here for you."""


class Conflict(StoreError):
    """Something with these values exists already."""


class VersionConflict(Conflict):
    """It was changed since you read it. Read it again and repeat your change on what you find."""


class Invalid(StoreError):
    """The values do not fit together."""


class IllegalTransition(Invalid):
    """That change of status is not allowed."""


class PayloadRejected(Invalid):
    """The text or JSON cannot be stored."""


class Forbidden(StoreError):
    """You may not do that."""


class TooMany(StoreError):
    """There is enough of yours under way. Try again when some of it is done."""


class Unavailable(StoreError):
    """The database does not answer at the moment. Try again in a few seconds."""
