"""Lift stored payloads of older schema versions to today's, on reading; stored bytes are never rewritten."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from store.errors import StoreError

RawPayload: TypeAlias = dict[str, Any]
Upcaster: TypeAlias = Callable[[RawPayload], RawPayload]
Chain: TypeAlias = Mapping[tuple[str, int], Upcaster]


class NewerSchema(StoreError):
    """The event was written by a newer release. Upgrade this process; nothing is lost meanwhile."""


def _count_skipped_tests(payload: RawPayload) -> RawPayload:
    """Version 1 came from clients that left skipped tests out of the report."""
    return {**payload, "skipped": 0}


UPCASTERS: Chain = {("test_run.reported", 1): _count_skipped_tests}
"""One step per (type, version): the function takes a payload of that version and returns one of the next."""


def upcast(
    event_type: str, schema_version: int, payload: RawPayload, *, to: int, chain: Chain = UPCASTERS
) -> RawPayload:
    """Return `payload` in schema version `to`; raises `NewerSchema` when it is already beyond it."""
    if schema_version > to:
        raise NewerSchema(
            f"{event_type} has schema version {schema_version}, this release knows {to}. Upgrade this process."
        )
    for version in range(schema_version, to):
        payload = chain[event_type, version](payload)
    return payload
