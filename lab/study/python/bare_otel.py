"""Tracing with OpenTelemetry alone: a BatchSpanProcessor as installed, OTLP/protobuf to an endpoint beside, values as JSON
text, one attribute each."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from held import watch_queues
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from tracers import Tracer


def open_otel(sink: str) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{sink}/v1/traces")))
    tracer = Tracer(OtelClient(provider.get_tracer("lab")), flush=provider.force_flush)
    tracer.held = watch_queues(provider)  # type: ignore[method-assign]
    return tracer


class OtelClient:
    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer

    def start_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> OtelSpan:
        span = self._tracer.start_span(name)
        span.set_attribute("type", as_type)
        return OtelSpan(span).update(**fields)

    @contextlib.contextmanager
    def start_as_current_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> Any:
        with self._tracer.start_as_current_span(name) as span:
            span.set_attribute("type", as_type)
            yield OtelSpan(span).update(**fields)


class OtelSpan:
    __slots__ = ("_span",)

    def __init__(self, span: Any) -> None:
        self._span = span

    def update(self, **fields: Any) -> OtelSpan:
        for key, value in fields.items():
            self._span.set_attribute(key, value if type(value) is str else json.dumps(value))
        return self

    def end(self) -> None:
        self._span.end()
