"""What tracing costs the process, once a second while anything is recorded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextvars import Context
from time import monotonic, perf_counter_ns, time_ns
from typing import Any

#: How often the ticker looks at an event loop, and after how long without a record it stops.
_TICK_S = 0.05
_IDLE_S = 10.0
#: One call in so many is timed.
SAMPLE = 64
#: The first calls are all timed: a short run would be judged by one or two of them.
ALL_TIMED = 1024
#: One that took longer counts as this: another thread or process had the processor.
_MAX_CALL_NS = 1_000_000


class LoopTicker:
    """Measures an event loop's delay from within it: a timer that comes late says by how much."""

    __slots__ = ("_last_use", "_loop", "_timer", "max_s")

    def __init__(self) -> None:
        self._loop: Any = None
        #: Of the loop that is watched; counts up, for one that was left has its timer still.
        self._timer = 0
        self._last_use = 0.0
        self.max_s = 0.0

    def watch(self) -> None:
        """Called while something is recorded; outside of a loop it does nothing."""
        asyncio = sys.modules.get("asyncio")
        if asyncio is None:
            return
        loop = asyncio._get_running_loop()
        if loop is None:
            return
        self._last_use = monotonic()
        if loop is not self._loop:
            self._loop = loop
            self._timer += 1
            self._schedule(loop, self._timer)

    def _schedule(self, loop: Any, timer: int) -> None:
        due = loop.time() + _TICK_S
        # In a context of its own: the caller's would be kept alive.
        loop.call_at(due, self._tick, loop, timer, due, context=Context())

    def _tick(self, loop: Any, timer: int, due: float) -> None:
        if timer != self._timer:
            # Another thread's loop is watched by now, and is not this one's to touch.
            return
        self.max_s = max(self.max_s, loop.time() - due)
        if monotonic() - self._last_use > _IDLE_S:
            self._loop = None
        else:
            self._schedule(loop, timer)


class Vitals:
    """Sums since the last record of them."""

    __slots__ = (
        "_bytes",
        "_observations",
        "_records",
        "loop",
        "recorder_ns",
    )

    def __init__(self) -> None:
        self.loop = LoopTicker()
        self.recorder_ns = 0
        self._records = 0
        self._observations = 0
        self._bytes = 0

    def timed(self, began_ns: int, calls: int) -> None:
        """The sampled call that began then stands for so many."""
        self.recorder_ns += min(perf_counter_ns() - began_ns, _MAX_CALL_NS) * calls

    def take(
        self, records: int, observations: int, written: int, lost: int, lost_updates: int
    ) -> dict[str, Any]:
        taken = {
            "time": str(time_ns()),
            "loop_delay_max_ms": round(self.loop.max_s * 1000, 3),
            "rss_bytes": _rss(),
            "recorder_ms": round(self.recorder_ns / 1e6, 3),
            # Writing is a part of each call.
            "flush_ms": 0,
            "records": records - self._records,
            "observations": observations - self._observations,
            "bytes": written - self._bytes,
            "lost": lost,
            "lost_updates": lost_updates,
        }
        self.loop.max_s = 0.0
        self.recorder_ns = 0
        self._records, self._observations, self._bytes = records, observations, written
        return taken


def _read_rss() -> Callable[[], int]:
    page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

    def read() -> int:
        try:
            with open("/proc/self/statm", "rb") as file:
                return int(file.read().split(b" ")[1]) * page
        except (OSError, ValueError, IndexError):
            return 0

    return read


_rss = _read_rss()
