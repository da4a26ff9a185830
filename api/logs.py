"""Structured logs: one line per event, JSON for machines or colours for people, and never a secret in them."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog

from api.middleware import REQUEST_ID
from store.search_audit import LOGGER

_SECRET_NAMES = re.compile(r"(password|token|secret|api_?key|authorization|cookie|credential)", re.IGNORECASE)
_SECRET_TEXTS = (
    (re.compile(r"\b(postgres(?:ql)?|amqps?|rediss?)://[^\s@/]*@"), r"\1://***@"),
    (re.compile(r"\b[Bb]earer\s+[\w.~+/=-]+"), "Bearer ***"),
    # From the beginning of a word on: a search from each "eyJ" of a long one would take minutes.
    (re.compile(r"(?<![\w-])(?=[\w-]*?eyJ[\w-]{5})[\w-]++\.[\w-]{5,}\.[\w-]*"), "***"),
    (re.compile(r"\bsk-[\w-]{8,}"), "***"),
)


def redacted(value: object) -> object:
    """Return `value` without anything that opens a door: keys, tokens, passwords, also inside texts and URLs."""
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXTS:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {name: "***" if _SECRET_NAMES.search(str(name)) else redacted(item) for name, item in items}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in cast("list[object]", value)]
    return value


def _redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401 - structlog's
    return {name: "***" if _SECRET_NAMES.search(name) else redacted(value) for name, value in event.items()}


def _name_request(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:  # noqa: ANN401
    request_id = REQUEST_ID.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


def configure(level: str = "INFO", *, as_json: bool | None = None, stream: TextIO | None = None) -> None:
    """Send every log of the process through one format; JSON unless a person reads along on a terminal."""
    output = stream or sys.stderr
    machine = not output.isatty() if as_json is None else as_json
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow={"search"}),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_request,
    ]
    ending: list[Any] = (
        [structlog.processors.format_exc_info, _redact, structlog.processors.JSONRenderer()]
        if machine
        else [structlog.processors.format_exc_info, _redact, structlog.dev.ConsoleRenderer(colors=True)]
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Streams whose reader stalls end so, and say it themselves.
    logging.getLogger("uvicorn.error").addFilter(lambda record: "without completing response" not in record.msg)
    logging.getLogger(LOGGER).setLevel(logging.INFO)  # who searched what is told whatever the level
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
