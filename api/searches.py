"""Measures every search the log is told of, whoever asked: REST, a tool or a graph."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from prometheus_client import Histogram

from store.search_audit import LOGGER, Searched

SEARCHES = Histogram(
    "goals_search_seconds",
    "Time of a search, the embedding of the question included.",
    ["scope", "route", "outcome"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)


class _Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        told: Searched = vars(record)["search"]
        SEARCHES.labels(told["scope"], told["route"] or "none", told["outcome"]).observe(told["seconds"])


@contextmanager
def searches_measured() -> Generator[None]:
    """Measure searches while the block is open."""
    listener, logger = _Listener(), logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
