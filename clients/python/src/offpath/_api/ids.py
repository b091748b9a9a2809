"""Ids of traces and observations, W3C's form: 32 and 16 lower-case hex digits."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from random import Random

_TRACE_ID = re.compile("[0-9a-f]{32}")
_SPAN_ID = re.compile("[0-9a-f]{16}")
ZERO_TRACE_ID = "0" * 32
ZERO_SPAN_ID = "0" * 16

# A source of its own: programs seed the `random` module's, and all their processes would then make the same ids.
_random = Random()
_bits = _random.getrandbits
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_trace_id() -> str:
    return f"{_bits(128):032x}"


def new_span_id() -> str:
    return f"{_bits(64):016x}"


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
