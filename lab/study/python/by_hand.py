"""What a team writes by hand: observations as dicts, JSON by the standard library.

One JSON per request goes to a Redis list, where a worker takes it (../redis-worker.child.ts has its shape); or one JSON per
observation goes to a file in memory: nobody reads it, it shows what the least is that anyone can do.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from tracers import Tracer, called

#: A /dev/shm may be small; from there on the file is written from its beginning again.
_FILE_BYTES = 48 * 1024 * 1024

_current: ContextVar[Written | None] = ContextVar("_current", default=None)

Ended = Callable[[dict[str, Any]], None]


class HandClient:
    """Gives each observation, once it has ended, to `ended`."""

    def __init__(self, ended: Ended) -> None:
        self._ended = ended

    def start_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> Written:
        return Written(_current.get(), self._ended, name, as_type, fields)

    @contextlib.contextmanager
    def start_as_current_observation(self, **fields: Any) -> Iterator[Written]:
        written = self.start_observation(**fields)
        token = _current.set(written)
        try:
            yield written
        finally:
            _current.reset(token)
            written.end()


class Written:
    __slots__ = ("_ended", "observation")

    def __init__(
        self, parent: Written | None, ended: Ended, name: str, as_type: str, fields: dict[str, Any]
    ) -> None:
        above = None if parent is None else parent.observation
        self._ended = ended
        self.observation: dict[str, Any] = {
            "traceId": secrets.token_hex(16) if above is None else above["traceId"],
            "spanId": secrets.token_hex(8),
            "name": name,
            "startTimeUnixNano": str(time.time_ns()),
            "attributes": {"type": as_type, **fields},
        }
        if above is not None:
            self.observation["parentSpanId"] = above["spanId"]

    def update(self, **fields: Any) -> None:
        self.observation["attributes"].update(fields)

    def end(self) -> None:
        self.observation["endTimeUnixNano"] = str(time.time_ns())
        self._ended(self.observation)


class RedisTracer(Tracer):
    def __init__(self, url: str) -> None:
        import redis.asyncio

        super().__init__(None)
        self._redis = redis.asyncio.from_url(url)

    def for_request(self) -> GatheringClient:
        return GatheringClient()

    async def hand_over(self, client: GatheringClient, call: Callable[..., Any] = called) -> None:
        await self._redis.lpush("lab", call(client.as_json))


class GatheringClient(HandClient):
    def __init__(self) -> None:
        self._observations: list[dict[str, Any]] = []
        super().__init__(self._observations.append)

    def as_json(self) -> bytes:
        return _json({"observations": self._observations})


class FileTracer(Tracer):
    def __init__(self) -> None:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
        # Has no name from the start: nothing is left behind.
        self._file = tempfile.TemporaryFile(dir=memory, buffering=0)
        self._at = 0
        super().__init__(HandClient(self._write))

    def _write(self, observation: dict[str, Any]) -> None:
        line = _json(observation) + b"\n"
        if self._at + len(line) > _FILE_BYTES:
            self._file.seek(0)
            self._at = 0
        self._at += os.write(self._file.fileno(), line)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
