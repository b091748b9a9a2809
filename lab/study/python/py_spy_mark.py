"""A mark in a profile: py-spy counts time from its own start, and this tells what that is by the clock."""

from __future__ import annotations

import time
from types import FunctionType

_MARK_MS = 60


def mark() -> None:
    """Spins for 60 ms in a function that is named after the time, ms since 1970: `py_spy_mark_1790000000000`."""
    began_ms = round(time.time() * 1000)
    code = _spin.__code__.replace(co_name=f"py_spy_mark_{began_ms}")
    FunctionType(code, _spin.__globals__)(began_ms)


def _spin(began_ms: int) -> None:
    while time.time() * 1000 < began_ms + _MARK_MS:
        pass
