"""Spans of our own work, for the OpenTelemetry collector a deployment names; without one they cost microseconds.

Names and attributes follow OpenTelemetry's conventions for generative AI. A span tells who did what for how long, never
what was said: no prompt, no answer, no argument, no text of an error.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, StatusCode

_TRACER = trace.get_tracer("ai-goals-tracker")


@contextmanager
def span(name: str, *, parent: str | None = None, **attributes: str | int | None) -> Generator[Span]:
    """Record the block as a span; an error marks it with its type. `parent` is a W3C `traceparent`.

    In the names of attributes `__` stands for a dot: `gen_ai__tool__name` is sent as `gen_ai.tool.name`.
    """
    context = propagate.extract({"traceparent": parent}) if parent else None
    with _TRACER.start_as_current_span(
        name, context=context, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def _named(attributes: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {key.replace("__", "."): value for key, value in attributes.items() if value is not None}


def traceparent() -> str | None:
    """Return where we are, to be continued elsewhere: the W3C `traceparent` of the current span, or None."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")
