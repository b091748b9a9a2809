"""Times that don't go backwards while an observation runs, and follow the wall clock for new ones."""

from __future__ import annotations

from time import monotonic_ns, time_ns

_CHECK_EVERY_NS = 1_000_000_000
#: A smaller difference is no step and no drift worth a change.
_TOLERANCE_NS = 2_000_000


class Clock:
    """`offset`: nanoseconds since 1970 when the monotonic clock stood at 0. An observation keeps the one it began with."""

    __slots__ = ("_check_at", "offset")

    def __init__(self) -> None:
        self.offset = time_ns() - monotonic_ns()
        self._check_at = 0

    def now(self) -> int:
        """The monotonic clock; looks once a second whether the wall clock was set, or the machine slept."""
        now = monotonic_ns()
        if now > self._check_at:
            self._check_at = now + _CHECK_EVERY_NS
            offset = time_ns() - now
            if abs(offset - self.offset) > _TOLERANCE_NS:
                self.offset = offset
        return now
