"""A FastAPI service under uvicorn that is measured: `python service.py '<a ServiceRequest as JSON>'`; see ../service.ts.

The same program in all arms. What differs is the tracer that a request gets (tracers.py) and what settings.py lists.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import uvicorn
from attached import UpdatingHandler
from fastapi import FastAPI, Request, Response
from handlers import HANDLERS, Handler, Service, log, observations_of
from meter import Meter
from observed import observed_handlers
from py_spy_mark import mark
from settings import Settings
from split import Split, TimedClient, account_in_hand
from tracers import open_tracer

_JOBS_AT_ONCE = 50
#: A flush that takes longer is given up. A full queue of the largest batches takes gzip more than a minute.
_PATIENCE_S = 90


class Counts:
    def __init__(self) -> None:
        self.requests = 0
        self.recorded = 0


def make_service(request: dict[str, Any]) -> Service:
    settings = Settings(**request["settings"])
    if settings.switch_interval_ms is not None:
        sys.setswitchinterval(settings.switch_interval_ms / 1000)
    tracer = open_tracer(settings, request["sink"], request.get("redis"))
    if settings.attached == "logs":
        log.setLevel(logging.INFO)
        log.addHandler(UpdatingHandler(tracer.client if settings.tracer != "untraced" else None))
    upstream = httpx.AsyncClient(base_url=request["upstream"], timeout=60)
    executor = make_executor(settings)
    if settings.gc_freeze:
        gc.collect()
        gc.freeze()
    if settings.gc_threshold is not None:
        gc.set_threshold(settings.gc_threshold)
    return Service(settings, tracer, upstream, executor)


def make_executor(settings: Settings) -> concurrent.futures.Executor:
    if settings.executor == "context":
        import offpath

        return offpath.ContextThreadPoolExecutor(_JOBS_AT_ONCE)
    return concurrent.futures.ThreadPoolExecutor(_JOBS_AT_ONCE)


def make_app(service: Service, split: Split, counts: Counts) -> FastAPI:
    app = FastAPI()
    handlers = dict(HANDLERS)
    if service.settings.style == "observe":
        handlers |= observed_handlers(service.tracer)
    for path, handler in handlers.items():
        app.post(path)(endpoint_of(path, handler, service, split, counts))

    if service.settings.flush_each_request:

        @app.middleware("http")
        async def flush_at_the_end(
            http: Request, call_next: Callable[[Request], Awaitable[Response]]
        ) -> Response:
            response = await call_next(http)
            began = time.perf_counter_ns()
            service.tracer.flush()
            account = getattr(http.state, "account", None)
            if account is not None:
                account.flush_ns = time.perf_counter_ns() - began
            return response

    return app


def endpoint_of(path: str, handler: Handler, service: Service, split: Split, counts: Counts) -> Any:
    tracer = service.tracer

    async def endpoint(http: Request) -> dict[str, str]:
        body = await http.json()
        client = tracer.for_request()
        counts.requests += 1
        counts.recorded += observations_of(path, body, service.settings) + tracer.of_framework
        account = split.next_account()
        # Always: after a large body uvicorn reads on within the request's context, and the connection's next request begins in it.
        account_in_hand.set(account)
        if account is None:
            answer = await handler(service, client, body)
            await tracer.hand_over(client)
        else:
            http.state.account = account
            answer = await handler(service, TimedClient(client, account), body)
            await tracer.hand_over(client, account.call)
        return {"answer": answer}

    return endpoint


class Commands:
    """Answers the lines of stdin."""

    def __init__(self, service: Service, split: Split, counts: Counts, is_profiled: bool) -> None:
        self._service = service
        self._split = split
        self._counts = counts
        self._meter = Meter(service.tracer.child_cpu_ns, service.tracer.child_rss_pages)
        self._flush_ms = 0.0
        self._is_given_up = False
        self._is_profiled = is_profiled

    async def run(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := (await reader.readline()).decode().strip():
            say(await self._answer(line))
            if line == "end":
                return

    async def _answer(self, line: str) -> dict[str, Any]:
        if line == "flush":
            await self._flush()
            return {"recorded": self._counts.recorded}
        elif line == "begin":
            if self._is_profiled:
                mark()
            self._counts.requests = self._counts.recorded = 0
            self._split.begin()
            self._meter.begin()
        elif line == "loaded":
            self._meter.loaded()
        elif line == "end":
            held = self._service.tracer.held()
            return {
                **self._meter.figures(self._counts.requests),
                "recorded": self._counts.recorded,
                "flushMs": round(self._flush_ms, 2),
                "isFlushGivenUp": self._is_given_up,
                **({} if held is None else {"held": held}),
                "split": self._split.figures(),
            }
        return {}

    async def _flush(self) -> None:
        """In a thread of its own, for it blocks; not of a pool, which would stay and be counted."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def run() -> None:
            try:
                self._service.tracer.flush()
            finally:
                loop.call_soon_threadsafe(done.set)

        began = time.perf_counter()
        threading.Thread(target=run, name="flush", daemon=True).start()
        try:
            await asyncio.wait_for(done.wait(), _PATIENCE_S)
            self._is_given_up = False
        except TimeoutError:
            self._is_given_up = True
            print(f"a flush was given up after {_PATIENCE_S} s", file=sys.stderr)
        self._flush_ms = (time.perf_counter() - began) * 1000


def say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


async def serve(request: dict[str, Any]) -> None:
    service = make_service(request)
    split, counts = Split(), Counts()
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(service, split, counts), log_level="error", access_log=False, timeout_keep_alive=60
        )
    )
    # asyncio turns Nagle's algorithm off where the protocol is named: without that an answer waits 40 ms.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", request["port"]))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    say({"port": listening.getsockname()[1], "pid": os.getpid()})
    commands = asyncio.create_task(Commands(service, split, counts, "profile" in request).run())
    await asyncio.wait((serving, commands), return_when=asyncio.FIRST_COMPLETED)
    for task in (serving, commands):
        if task.done():
            task.result()


def main() -> None:
    request = json.loads(sys.argv[1])
    loop_factory = None
    if request["settings"].get("loop") == "uvloop":
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(request))
        # What SDKs do at exit, such as waiting for a server that hangs, is not part of what is measured.
        os._exit(0)


if __name__ == "__main__":
    main()
