"""The export of Langfuse's SDK moved into a child process: an intervention that leaves recording and the queue as they are.

The exporter's thread pickles a batch and writes it to the child, which encodes and posts it with OpenTelemetry's own
exporter. A batch is its length (8 bytes) and the pickle; the answer is a byte, 0 for success, and the child's CPU so far.
"""

from __future__ import annotations

import base64
import pickle
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, BinaryIO

from meter import rss_pages
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_LENGTH = struct.Struct("<Q")
_ANSWER = struct.Struct("<BQ")


class ChildExporter(SpanExporter):
    def __init__(self, sink: str, public_key: str, secret_key: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-B", __file__, sink, public_key, secret_key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        status, _ = self._ask(pickle.dumps([_plain(span) for span in spans], pickle.HIGHEST_PROTOCOL))
        return SpanExportResult.FAILURE if status else SpanExportResult.SUCCESS

    def cpu_ns(self) -> int:
        return self._ask(pickle.dumps([]))[1]

    def rss_pages(self) -> int:
        return rss_pages(self._child.pid)

    def shutdown(self) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def _ask(self, batch: bytes) -> tuple[int, int]:
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None and stdout is not None
        with self._lock:
            stdin.write(_LENGTH.pack(len(batch)))
            stdin.write(batch)
            stdin.flush()
            status, cpu_ns = _ANSWER.unpack(stdout.read(_ANSWER.size))
        return status, cpu_ns


def _plain(span: ReadableSpan) -> tuple[Any, ...]:
    """Without the locks that spans carry, which no pickle takes."""
    scope = span.instrumentation_scope
    return (
        span.name,
        (span.context.trace_id, span.context.span_id),
        (span.parent.trace_id, span.parent.span_id) if span.parent else None,
        dict(span.attributes or {}),
        span.start_time,
        span.end_time,
        (scope.name, scope.version, dict(scope.attributes or {})) if scope else None,
        dict(span.resource.attributes),
    )


def _serve(requests: BinaryIO, answers: BinaryIO, sink: str, public_key: str, secret_key: str) -> None:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    keys = base64.b64encode(f"{public_key}:{secret_key}".encode()).decode()
    exporter = OTLPSpanExporter(
        endpoint=f"{sink}/api/public/otel/v1/traces",
        headers={"Authorization": f"Basic {keys}", "x-langfuse-ingestion-version": "4"},
        # As the SDK does.
        compression=Compression.Gzip,
    )
    while head := requests.read(_LENGTH.size):
        batch = pickle.loads(requests.read(*_LENGTH.unpack(head)))
        taken = not batch or exporter.export([_span(each) for each in batch]) is SpanExportResult.SUCCESS
        answers.write(_ANSWER.pack(0 if taken else 1, time.process_time_ns()))
        answers.flush()


def _span(plain: tuple[Any, ...]) -> ReadableSpan:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, TraceFlags

    name, ids, parent, attributes, started, ended, scope, resource = plain
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return ReadableSpan(
        name,
        context=SpanContext(*ids, is_remote=False, trace_flags=sampled),
        parent=SpanContext(*parent, is_remote=False, trace_flags=sampled) if parent else None,
        attributes=attributes,
        start_time=started,
        end_time=ended,
        instrumentation_scope=InstrumentationScope(scope[0], scope[1], None, scope[2]) if scope else None,
        resource=Resource(resource),
    )


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer, *sys.argv[1:])
