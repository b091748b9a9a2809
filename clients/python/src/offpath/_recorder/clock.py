"""Times that don't go backwards while an observation runs, and follow the wall clock for new ones."""

from __future__ import annotations

from time import monotonic_ns, time_ns

_CHECK_EVERY_NS = 1_000_000_000
#: A smaller difference is no step and no drift worth a change.
_TOLERANCE_NS = 2_000_000


class Clock:
    """`offset`: nanoseconds since 1970 when the monotonic clock stood at 0. An observation keeps the one it began with."""

    __slots__ = ("check_at", "offset")

    def __init__(self) -> None:
        self.offset = time_ns() - monotonic_ns()
        #: From when on it is to be looked at again.
        self.check_at = 0

    def check(self, now: int) -> None:
        """Looks whether the wall clock was set, or the machine slept. `now`: the monotonic clock's, past `check_at`."""
        self.check_at = now + _CHECK_EVERY_NS
        offset = time_ns() - now
        if abs(offset - self.offset) > _TOLERANCE_NS:
            self.offset = offset
