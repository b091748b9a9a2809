"""What is compared. Each is a client with the part of Langfuse's API that the measured programs use.

    none            the same program, nothing recorded
    offpath         the client of this repository
    langfuse        langfuse as installed
    langfuse-tuned  the same with flush_at=10, what an expert does against stalls
    otel            the bare OpenTelemetry SDK with a BatchSpanProcessor, and what one writes by hand

With `url` they deliver there, else their exporters drop each batch at once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any


class Subject:
    def __init__(self, client: Any, flush: Callable[[], Any], taken: Callable[[], int]) -> None:
        self.client = client
        #: Hands over what is recorded: to the exporter, or (offpath) to the spool. Blocks.
        self.flush = flush
        #: Observations that the spool or the dropping exporter took; 0 with an exporter that sends.
        self.taken = taken


def open_subject(name: str, url: str | None) -> Subject:
    if name == "none":
        return Subject(Nothing(), lambda: None, lambda: 0)
    if name == "offpath":
        return _offpath()
    if name == "otel":
        return _otel(url)
    return _langfuse(url, 10 if name == "langfuse-tuned" else None)


class Nothing:
    """A client and its observations."""

    def start_observation(self, **_: Any) -> Nothing:
        return self

    def start_as_current_observation(self, **_: Any) -> contextlib.nullcontext[Nothing]:
        return contextlib.nullcontext(self)

    def update(self, **_: Any) -> Nothing:
        return self

    def end(self) -> Nothing:
        return self


def _offpath() -> Subject:
    import offpath

    client = offpath.get_client()

    def taken() -> int:
        stats = client.stats()
        return stats["observations"] - sum(stats["lost"].values())

    return Subject(client, client.flush, taken)


def _langfuse(url: str | None, flush_at: int | None) -> Subject:
    from langfuse import Langfuse

    exporter, taken = (None, lambda: 0) if url else _dropping()
    client = Langfuse(
        public_key="pk-lf-bench",
        secret_key="sk-lf-bench",
        base_url=url or "http://127.0.0.1:9",
        flush_at=flush_at,
        span_exporter=exporter,
    )
    return Subject(client, client.flush, taken)


def _dropping() -> tuple[Any, Callable[[], int]]:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    taken = [0]

    class Dropping(SpanExporter):
        def export(self, spans: Any) -> Any:
            taken[0] += len(spans)
            return SpanExportResult.SUCCESS

    return Dropping(), lambda: taken[0]


def _otel(url: str | None) -> Subject:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if url:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter, taken = OTLPSpanExporter(endpoint=f"{url}/v1/traces"), lambda: 0
    else:
        exporter, taken = _dropping()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Subject(Hand(provider.get_tracer("bench")), provider.force_flush, taken)


class Hand:
    """Tracing with OpenTelemetry alone: values as JSON text, one attribute each."""

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer

    def start_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> HandSpan:
        span = self._tracer.start_span(name)
        span.set_attribute("type", as_type)
        return HandSpan(self._tracer, span).update(**fields)

    @contextlib.contextmanager
    def start_as_current_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> Any:
        with self._tracer.start_as_current_span(name) as span:
            span.set_attribute("type", as_type)
            yield HandSpan(self._tracer, span).update(**fields)


class HandSpan:
    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: Any, span: Any) -> None:
        self._tracer = tracer
        self._span = span

    def start_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> HandSpan:
        from opentelemetry.trace import set_span_in_context

        span = self._tracer.start_span(name, set_span_in_context(self._span))
        span.set_attribute("type", as_type)
        return HandSpan(self._tracer, span).update(**fields)

    def update(self, **fields: Any) -> HandSpan:
        for key, value in fields.items():
            self._span.set_attribute(key, value if type(value) is str else json.dumps(value))
        return self

    def end(self) -> HandSpan:
        self._span.end()
        return self
