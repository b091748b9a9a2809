"""How much of a request was spent on calls of models."""

from __future__ import annotations

from contextvars import ContextVar
from time import monotonic_ns


class Call:
    """One call: monotonic nanoseconds of its start and its end, None while it runs."""

    __slots__ = ("began", "ended")

    def __init__(self) -> None:
        self.began = monotonic_ns()
        self.ended: int | None = None

    def end(self) -> None:
        if self.ended is None:
            self.ended = monotonic_ns()


class Upstream:
    """The calls of one request. Threads and tasks may add to it at once: there is nothing but appending."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def begin(self) -> Call:
        call = Call()
        self._calls.append(call)
        return call

    def total_ns(self) -> int:
        """Nanoseconds in which at least one call ran, up to now: calls at the same time count once."""
        now = monotonic_ns()
        total = until = 0
        for call in sorted(self._calls, key=lambda call: call.began):
            end = now if call.ended is None else call.ended
            total += max(0, end - max(call.began, until))
            until = max(until, end)
        return total


current_upstream: ContextVar[Upstream | None] = ContextVar("offpath_upstream", default=None)
