"""How long the event loop was blocked while a request ran, whoever blocked it.

One timer for each loop, running while anybody watches: what it comes late is time in which nothing else could run
either. It wakes the process 100 times a second, for a few µs each.
"""

from __future__ import annotations

import asyncio
from contextvars import Context

_PERIOD_S = 0.01
#: Timers come a millisecond or two late on any machine; only what is above this is a stall.
_TOLERATED_S = 0.01

_loops: dict[asyncio.AbstractEventLoop, _Loop] = {}


class _Loop:
    __slots__ = ("_counted", "_due", "_loop", "_timer", "_watchers")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watchers = 0
        self._counted = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def stalled(self) -> float:
        """Seconds of stall so far, those of the turn now running included. Never goes back."""
        late = self._loop.time() - self._due
        return self._counted + late if self._timer is not None and late > _TOLERATED_S else self._counted

    def enter(self) -> None:
        self._watchers += 1
        if self._timer is None:
            self._schedule()

    def leave(self) -> None:
        self._watchers -= 1
        if self._watchers == 0 and self._timer is not None:
            self._counted = self.stalled()
            self._timer.cancel()
            self._timer = None
            _loops.pop(self._loop, None)

    def _schedule(self) -> None:
        self._due = self._loop.time() + _PERIOD_S
        # In a context of its own: the request's would be kept alive.
        self._timer = self._loop.call_at(self._due, self._tick, context=Context())

    def _tick(self) -> None:
        self._counted = self.stalled()
        self._schedule()


class LoopWatch:
    """Watches the running event loop for one request; outside of asyncio it measures nothing."""

    __slots__ = ("_before", "_ended", "_loop")

    def __init__(self) -> None:
        self._ended: float | None = None
        self._before = 0.0
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop: _Loop | None = None
            return
        watched = _loops.get(loop)
        if watched is None:
            # A loop that was closed with a request under way stops no timer.
            for closed in [each for each in list(_loops) if each.is_closed()]:
                _loops.pop(closed, None)
            watched = _loops[loop] = _Loop(loop)
        watched.enter()
        self._loop = watched
        self._before = watched.stalled()

    def end(self) -> float | None:
        """Ends the watch. Seconds of stall since it began, the same at each further call; None outside of asyncio."""
        if self._loop is not None and self._ended is None:
            self._ended = self._loop.stalled() - self._before
            self._loop.leave()
        return self._ended
