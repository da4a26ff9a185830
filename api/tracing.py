"""Traces: spans go to the OpenTelemetry collector that OTEL_EXPORTER_OTLP_ENDPOINT names, and nowhere without it."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec

from opentelemetry import trace

from api.settings import Settings


def missing(settings: Settings) -> bool:
    """Whether traces are asked for, and what sends them is not installed."""
    return bool(settings.otel_exporter_otlp_endpoint) and not _installed("opentelemetry.exporter.otlp.proto.http")


@contextmanager
def tracing(settings: Settings) -> Generator[None]:
    """Send spans while the block runs, and the last of them when it ends. Raises ImportError where `missing`."""
    if not settings.otel_exporter_otlp_endpoint:
        yield
        return
    from api.span_export import exporting  # noqa: PLC0415 - an extra

    provider = exporting(settings.otel_exporter_otlp_endpoint)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
