"""What requests are traced with. Each has a client with the part of Langfuse's API that handlers.py uses.

untraced   nothing recorded
langfuse   the SDK of the environment, 3, 4 or 5
offpath    the client of this repository
otel       the bare OpenTelemetry SDK, as one uses it with a collector beside (bare_otel.py)
redis      one JSON per request, pushed to a list (by_hand.py)
file       one JSON per observation, written to a file in memory (by_hand.py)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from settings import Settings

# Of lab/apparatus/keys.ts.
PUBLIC_KEY = "pk-lf-bench"
SECRET_KEY = "sk-lf-bench"


def called(function: Callable[[], Any]) -> Any:
    return function()


class Tracer:
    def __init__(
        self,
        client: Any,
        *,
        flush: Callable[[], Any] = lambda: None,
        observe: Any = None,
        media: Callable[[bytes], Any] = lambda content: content,
        of_framework: int = 0,
    ) -> None:
        self.client = client
        #: Hands over what is recorded, and blocks while it does.
        self.flush = flush
        #: The SDK's decorator.
        self.observe = observe
        #: Bytes as the SDK wants them in an input.
        self.media = media
        #: What else it records of a request.
        self.of_framework = of_framework

    def for_request(self) -> Any:
        """The client for one request."""
        return self.client

    async def hand_over(self, client: Any, call: Callable[..., Any] = called) -> None:
        """At the end of a request, what its client has gathered; `call` times what is done here for it."""

    def held(self) -> int | None:
        """Observations that are not handed over yet; None where that can't be seen."""
        return None

    def child_cpu_ns(self) -> int:
        """CPU of children that still run."""
        return 0

    def child_rss_pages(self) -> int:
        """Their memory."""
        return 0


def open_tracer(settings: Settings, sink: str, redis: str | None) -> Tracer:
    if settings.tracer == "langfuse":
        return _langfuse(settings, sink)
    if settings.tracer == "offpath":
        return _offpath(sink)
    if settings.tracer == "otel":
        from bare_otel import open_otel

        return open_otel(sink)
    if settings.tracer == "redis":
        from by_hand import RedisTracer

        if redis is None:
            raise SystemExit("the arm hands over to Redis, and the request names none")
        return RedisTracer(redis)
    if settings.tracer == "file":
        from by_hand import FileTracer

        return FileTracer()
    return Tracer(Nothing())


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


def _langfuse(settings: Settings, sink: str) -> Tracer:
    os.environ.update(settings.variables)
    from held import watch_queues
    from langfuse import Langfuse, observe
    from langfuse.media import LangfuseMedia
    from opentelemetry.trace import get_tracer_provider

    given = {
        "flush_at": settings.flush_at,
        "flush_interval": settings.flush_interval,
        "sample_rate": settings.sample_rate,
        "otel_compression": settings.otel_compression,
    }
    exporter = None
    if settings.export == "child":
        from export_child import ChildExporter

        exporter = given["span_exporter"] = ChildExporter(sink, PUBLIC_KEY, SECRET_KEY)
    client = Langfuse(
        public_key=PUBLIC_KEY,
        secret_key=SECRET_KEY,
        base_url=sink,
        **{name: value for name, value in given.items() if value is not None},
    )
    tracer = Tracer(
        client,
        flush=client.flush,
        observe=observe,
        media=lambda content: LangfuseMedia(content_bytes=content, content_type="audio/wav"),
        # FastAPI has spans of its own around dependencies, endpoint, answer and all; 4 and 5 leave them out.
        of_framework=4 if version("langfuse").startswith("3.") else 0,
    )
    tracer.held = watch_queues(get_tracer_provider())  # type: ignore[method-assign]
    if exporter is not None:
        tracer.child_cpu_ns = exporter.cpu_ns  # type: ignore[method-assign]
        tracer.child_rss_pages = exporter.rss_pages  # type: ignore[method-assign]
    return tracer


def _offpath(sink: str) -> Tracer:
    import offpath

    client = offpath.Langfuse(public_key=PUBLIC_KEY, secret_key=SECRET_KEY, base_url=sink)
    return Tracer(
        client,
        flush=client.flush,
        observe=offpath.observe,
        media=lambda content: offpath.LangfuseMedia(content_bytes=content, content_type="audio/wav"),
    )
