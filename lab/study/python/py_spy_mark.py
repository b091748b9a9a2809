"""A mark in a profile: py-spy counts time from its own start, and this tells what that is by the clock."""

from __future__ import annotations

import time
from types import FunctionType

_SLICES = 30
_SLICE_MS = 2


def mark() -> None:
    """Spins for 60 ms, 2 ms each in a function that is named after the time, ms since 1970: `py_spy_mark_1790000000000`."""
    for _ in range(_SLICES):
        began_ms = round(time.time() * 1000)
        name = f"py_spy_mark_{began_ms}"
        code = _spin.__code__.replace(co_name=name, co_qualname=name)
        FunctionType(code, _spin.__globals__)(began_ms + _SLICE_MS)


def _spin(until_ms: int) -> None:
    while time.time() * 1000 < until_ms:
        pass
