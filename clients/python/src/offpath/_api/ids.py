"""Ids of traces and observations, W3C's form: 32 and 16 lower-case hex digits."""

from __future__ import annotations

import os
import re
from hashlib import sha256

_TRACE_ID = re.compile("[0-9a-f]{32}")
_SPAN_ID = re.compile("[0-9a-f]{16}")
ZERO_TRACE_ID = "0" * 32
ZERO_SPAN_ID = "0" * 16

#: Made in stock, 16 digits each, and taken from the end: one by one they would cost a tenth of an observation.
_stock: list[str] = []
_STOCK = 256
if hasattr(os, "register_at_fork"):
    # A child that went on with its parent's would make the same ids.
    os.register_at_fork(after_in_child=_stock.clear)


def new_trace_id() -> str:
    return new_span_id() + new_span_id()


def new_span_id() -> str:
    try:
        return _stock.pop()
    except IndexError:
        digits = os.urandom(8 * _STOCK).hex()
        _stock.extend([digits[at : at + 16] for at in range(0, len(digits), 16)])
        # Not from the stock: other threads may have emptied it already.
        return os.urandom(8).hex()


def seeded_trace_id(seed: str) -> str:
    """The same id for the same seed, in every Langfuse SDK."""
    return sha256(seed.encode()).hexdigest()[:32]


def seeded_span_id(seed: str) -> str:
    return sha256(seed.encode()).hexdigest()[:16]


def is_trace_id(text: object) -> bool:
    return isinstance(text, str) and _TRACE_ID.fullmatch(text) is not None


def is_span_id(text: object) -> bool:
    return isinstance(text, str) and _SPAN_ID.fullmatch(text) is not None


def is_sampled(trace_id: str, rate: float) -> bool:
    """One rule for all languages: the last 8 bytes of the trace id are below rate × 2^64."""
    return rate >= 1 or int(trace_id[16:], 16) < int(rate * 2**64)
