"""What the process under load says of itself: delays of its event loop, of the GIL, memory, threads, CPU.

A ticker that is due each millisecond tells how long the loop was held, a thread that wakes each 5 ms how long it waited
for the GIL. Both cost the same in each arm, some 2 % of a core.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

_TICK_S = 0.001
_PROBE_S = 0.005
_STALL_MS = 10
_PAUSE_MS = 5
#: The largest are kept.
_MOST_STALLS = 5000
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TASKS = "/proc/self/task"


class Meter:
    def __init__(self, child_cpu_ns: Callable[[], int], child_rss_pages: Callable[[], int]) -> None:
        self._child_cpu_ns = child_cpu_ns
        self._child_rss_pages = child_rss_pages
        self._loop = asyncio.get_running_loop()
        self._running = False
        self._late_ms = array("d")
        self._stalls: list[tuple[float, float]] = []
        self._probe: _GilProbe | None = None
        self._collector = _Collector()
        self._rss_pages = 0
        self._threads = 0
        self._main_ns = self._process_ns = 0

    def begin(self) -> None:
        self._late_ms = array("d")
        self._stalls = []
        # First: it collects, which the probe would wait for.
        self._collector.begin()
        self._probe = _GilProbe()
        self._probe.start()
        self._rss_pages = self._all_rss_pages()
        self._rss_due = 0.0
        self._main_ns = time.thread_time_ns()
        self._process_ns = self._all_cpu_ns()
        self._running = True
        self._schedule()

    def loaded(self) -> None:
        self._running = False
        self._collector.end()
        self._threads = len(os.listdir(_TASKS)) if os.path.isdir(_TASKS) else threading.active_count()
        if self._probe is not None:
            # Its own thread is none of the service's.
            self._threads -= 1
            self._probe.running = False

    def figures(self, requests: int) -> dict[str, Any]:
        """The part of ServiceFigures that is measured here; CPU is counted up to this call."""
        main_ns = time.thread_time_ns() - self._main_ns
        process_ns = self._all_cpu_ns() - self._process_ns
        per_request = 1000 * max(1, requests)
        largest = sorted(self._stalls, key=lambda stall: -stall[1])[:_MOST_STALLS]
        return {
            "mainUs": round(main_ns / per_request, 2),
            "processUs": round(process_ns / per_request, 2),
            "lag": _spread(self._late_ms),
            "gil": _spread(self._probe.late_ms if self._probe else array("d")),
            "gc": self._collector.figures(),
            "stalls": [[round(ended, 1), round(ms, 2)] for ended, ms in sorted(largest)],
            "rssMb": round(self._rss_pages * _PAGE / 2**20, 2),
            "threads": self._threads,
        }

    def _schedule(self) -> None:
        # perf_counter: uvloop's own clock stands still during a turn.
        self._due = time.perf_counter() + _TICK_S
        self._loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        now = time.perf_counter()
        late_ms = max(0.0, (now - self._due) * 1000)
        if not self._running:
            return
        self._late_ms.append(late_ms)
        if late_ms > _STALL_MS:
            self._stalls.append((time.time() * 1000, late_ms))
        # Before memory is looked at: reading a file gives the GIL up, and who takes it then holds the loop as well.
        self._schedule()
        if now >= self._rss_due:
            self._rss_due = now + 0.1
            self._rss_pages = max(self._rss_pages, self._all_rss_pages())

    def _all_rss_pages(self) -> int:
        return rss_pages() + self._child_rss_pages()

    def _all_cpu_ns(self) -> int:
        ended = os.times()
        children_s = ended.children_user + ended.children_system
        return time.process_time_ns() + round(children_s * 1e9) + self._child_cpu_ns()


class _Collector:
    """What the garbage collector takes. A full collection holds the GIL for as long as it looks at all that the process has;
    it comes after so many allocations, so all arms begin with one: else their phase would decide who has one more."""

    def __init__(self) -> None:
        self._began = 0.0
        self._full = 0
        self._full_max_ms = 0.0
        self._total_ms = 0.0
        self._pauses: list[tuple[float, float]] = []

    def begin(self) -> None:
        gc.collect()
        self.__init__()  # type: ignore[misc]
        gc.callbacks.append(self._note)

    def end(self) -> None:
        gc.callbacks.remove(self._note)

    def figures(self) -> dict[str, Any]:
        return {
            "full": self._full,
            "fullMaxMs": round(self._full_max_ms, 2),
            "totalMs": round(self._total_ms, 2),
            "pauses": [[round(ended, 1), round(ms, 2)] for ended, ms in self._pauses],
        }

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        ms = (time.perf_counter() - self._began) * 1000
        self._total_ms += ms
        if ms > _PAUSE_MS:
            self._pauses.append((time.time() * 1000, ms))
        if info["generation"] == 2:
            self._full += 1
            self._full_max_ms = max(self._full_max_ms, ms)


class _GilProbe(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="gil-probe", daemon=True)
        self.running = True
        self.late_ms = array("d")

    def run(self) -> None:
        while self.running:
            due = time.perf_counter() + _PROBE_S
            time.sleep(_PROBE_S)
            self.late_ms.append(max(0.0, (time.perf_counter() - due) * 1000))


def _spread(values: array[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99)]
    return {"p50Ms": round(at[0], 3), "p99Ms": round(at[1], 3), "maxMs": round(ordered[-1], 3)}


def rss_pages(pid: int | str = "self") -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1])
    except OSError:
        return 0
