"""What sends spans to a collector; importing it needs the extra `traces`."""

import os
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from typing_extensions import override

_PRIVATE = frozenset({"url.path", "url.query", "url.full", "http.target", "http.url"})


class Redacting(SpanProcessor):
    """Empties the attributes that hold addresses: what people ask and who they are stands in them. Routes stay."""

    @override
    def on_start(self, span: Span, parent_context: object = None) -> None:
        """Look through what the span starts with."""
        del parent_context
        for name in _PRIVATE & (span.attributes or {}).keys():
            span.set_attribute(name, "")


def exporting(endpoint: str) -> TracerProvider:
    """Return a provider that sends to a collector's HTTP port; its `shutdown` sends what is left.

    The exporter reads the other OTEL_* variables (headers, certificates, sampling) by itself.
    """
    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME", "ai-goals-tracker")}
    provider = TracerProvider(resource=Resource.create({**named, "service.version": version("ai-goals-tracker")}))
    provider.add_span_processor(Redacting())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")))
    return provider
