"""How events lie in Parquet: a column per envelope field, payloads as JSON text, so no new event rewrites a file."""
# pyarrow ships no types, so what comes from it is unknown to the checker in this file.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from store.event_rows import SequencedEvent, chain, content_digest

_TIME = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        ("position", pa.int64()),
        ("sequenced_at", _TIME),
        ("id", pa.uuid()),
        ("entity_type", pa.string()),
        ("entity_id", pa.string()),
        ("entity_version", pa.int64()),
        ("type", pa.string()),
        ("schema_version", pa.int16()),
        ("occurred_at", _TIME),
        ("recorded_at", _TIME),
        ("actor", pa.string()),
        ("user_id", pa.string()),
        ("thread_id", pa.string()),
        ("run_id", pa.string()),
        ("checkpoint_id", pa.string()),
        ("tool_call_id", pa.string()),
        ("correlation_id", pa.uuid()),
        ("causation_id", pa.uuid()),
        ("command_key", pa.string()),
        ("payload_json", pa.string()),
        ("metadata_json", pa.string()),
    ]
)
_UUIDS = ("id", "correlation_id", "causation_id")
_DELTA = ("position", "sequenced_at", "entity_version", "occurred_at", "recorded_at")
_PLAIN = ("id", "payload_json", "command_key")
"""Values that hardly repeat: a dictionary would only be overhead. (Byte-stream-split and delta-byte-array pack ids
tighter, but polars 2.1 and DuckDB 2.0 cannot read them in 16-byte columns.)"""
_DICTIONARY = [name for name in SCHEMA.names if name not in {*_DELTA, *_PLAIN}]
ROW_GROUP = 131_072
SEAL: Final = "goals.seal"
_BLANK: Final = "0" * 64


def to_table(events: Sequence[SequencedEvent]) -> pa.Table:
    """Return the events as a table."""
    columns: list[pa.Array] = []
    for field in SCHEMA:
        values: list[Any] = [getattr(event, field.name) for event in events]
        if field.name in _UUIDS:
            raw = pa.array([None if value is None else value.bytes for value in values], pa.binary(16))
            columns.append(pa.ExtensionArray.from_storage(pa.uuid(), raw))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def write_table(table: pa.Table, footer: dict[str, str], stream: pa.NativeFile) -> None:
    """Write with the encodings that were measured smallest among those every reader understands."""
    with pq.ParquetWriter(
        stream,
        table.schema,
        compression="zstd",
        compression_level=9,
        use_dictionary=_DICTIONARY,  # pyright: ignore[reportArgumentType] - a list of columns is documented
        column_encoding={**dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"), **dict.fromkeys(_PLAIN, "PLAIN")},
        write_page_index=True,
        store_schema=False,
    ) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata(footer)


def to_bytes(table: pa.Table, footer: dict[str, str]) -> bytes:
    """Return the file as it will lie there, sealed: its footer holds the SHA-256 of all its bytes.

    The digest is taken while its own place in the file is still filled with zeros.
    """
    buffer = pa.BufferOutputStream()
    write_table(table, footer | {SEAL: _BLANK}, buffer)
    body: bytes = buffer.getvalue().to_pybytes()
    at = _seal_at(body)
    return body[:at] + hashlib.sha256(body).hexdigest().encode() + body[at + len(_BLANK) :]


def is_whole(body: bytes) -> bool:
    """Tell whether every byte of a file is as it was written; files of before there were seals have none to break."""
    at = _seal_at(body)
    if at < 0:
        return b"goals.format\x18\x011" in body
    blank = body[:at] + _BLANK.encode() + body[at + len(_BLANK) :]
    return hashlib.sha256(blank).hexdigest().encode() == body[at : at + len(_BLANK)]


def _seal_at(body: bytes) -> int:
    """Return where the value of the seal begins: behind its key, a type byte and a length byte; -1 without one."""
    key = body.rfind(SEAL.encode())
    return -1 if key < 0 else key + len(SEAL) + 2


def to_events(table: pa.Table) -> list[SequencedEvent]:
    """Return the rows of a table as events."""
    columns: list[list[Any]] = [table.column(name).to_pylist() for name in SCHEMA.names]
    return [SequencedEvent(**dict(zip(SCHEMA.names, row, strict=True))) for row in zip(*columns, strict=True)]


def footer_of(events: Sequence[SequencedEvent], epoch: int) -> dict[str, str]:
    """Return what a file says about itself, and what proves it whole."""
    in_order = sorted(events, key=lambda event: event.position)
    digest = chain(b"", ((event.position, content_digest(event)) for event in in_order))
    return {
        "goals.format": "2",
        "goals.epoch": str(epoch),
        "goals.first": str(in_order[0].position),
        "goals.last": str(in_order[-1].position),
        "goals.count": str(len(events)),
        "goals.digest": digest.hex(),
    }


def read_footer(file: pq.ParquetFile) -> dict[str, str]:
    """Return what `footer_of` wrote into a file's footer."""
    found = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
    return {key: value for key, value in found.items() if key.startswith("goals.") and key != SEAL}
