"""Logs say what happened and never how to get in."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from api import logs
from api.middleware import REQUEST_ID

TOKEN = "eyJhbGciOi.eyJzdWIiOiJh.c2lnbmF0dXJl"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The service's logging, written to memory; the old logging comes back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    stream = io.StringIO()
    logs.configure("info", as_json=True, stream=stream)
    yield stream
    root.handlers, root.level = before, level
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_and_request(lines: io.StringIO) -> None:
    token = REQUEST_ID.set("req-1")
    try:
        logging.getLogger("api.test").warning("slow %s", "answer")
    finally:
        REQUEST_ID.reset(token)
    line = json.loads(lines.getvalue())
    assert (line["event"], line["level"], line["logger"], line["request_id"]) == (
        "slow answer", "warning", "api.test", "req-1",
    )  # fmt: skip
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "message",
    [
        "connecting to postgresql://goals:hunter2@db/goals",
        "amqp://guest:hunter2@mq/ is away",
        "Authorization: Bearer hunter2",
        f"bad token {TOKEN}",
        "key sk-hunter2hunter2 refused",
    ],
)
def test_secrets_inside_texts_are_blotted_out(lines: io.StringIO, message: str) -> None:
    logging.getLogger("api.test").error(message)
    written = lines.getvalue()
    assert "hunter2" not in written
    assert TOKEN not in written
    assert "***" in written


def test_secrets_by_name_are_blotted_out_at_any_depth(lines: io.StringIO) -> None:
    structlog.get_logger("api.test").info("signed in", password="hunter2", context={"api_key": "hunter2", "who": "ada"})
    assert "hunter2" not in lines.getvalue()
    assert json.loads(lines.getvalue())["context"] == {"api_key": "***", "who": "ada"}


def test_the_secret_in_a_traceback_is_blotted_out(lines: io.StringIO) -> None:
    try:
        raise OSError("postgresql://goals:hunter2@db/goals does not answer")
    except OSError:
        logging.getLogger("api.test").exception("no database")
    assert "hunter2" not in lines.getvalue()
    assert "OSError" in lines.getvalue()


def test_a_search_is_told_in_one_line_that_can_be_filtered(lines: io.StringIO) -> None:
    told = {"user_id": "ada", "scope": "course", "hits": ["goal:1#0"]}
    logging.getLogger("store.search_audit").info("search", extra={"search": told})
    line = json.loads(lines.getvalue())
    assert (line["event"], line["logger"], line["search"]) == ("search", "store.search_audit", told)
