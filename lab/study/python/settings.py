"""What an arm of the study may set (../python/arms.ts): one keyword each, named as in the SDKs where they have it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Settings:
    tracer: Literal["untraced", "langfuse", "offpath", "otel", "redis", "file"] = "untraced"
    #: Functions decorated with the SDK's `observe`, or context managers; the same observations.
    style: Literal["context", "observe"] = "context"
    #: `/agent`: the root and the generation alone.
    few: bool = False
    flush_at: int | None = None
    flush_interval: float | None = None
    sample_rate: float | None = None
    #: Of the environment, set before the SDK is imported.
    variables: dict[str, str] = field(default_factory=dict)
    #: `flush()` in a middleware, before the answer leaves.
    flush_each_request: bool = False
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    #: sys.setswitchinterval; 5 is Python's.
    switch_interval_ms: float | None = None
    #: gc.freeze() when all is imported: full collections then leave that alone.
    gc_freeze: bool = False
    #: gc.set_threshold: objects more after which the collector looks. 700 is that of Python 3.11.
    gc_threshold: int | None = None
    #: Where batches are encoded and posted.
    export: Literal["thread", "child"] = "thread"
    #: langfuse 5 compresses with gzip unless it is told not to.
    otel_compression: Literal["none"] | None = None
    media: Literal["base64", "bytes"] = "base64"
    #: `/chat`, `/agent`: values are handed over as JSON text, which the SDK takes as it is.
    as_text: bool = False
    #: `/chat`: the generation's messages are strings of their own, with the text of the root's.
    own_text: bool = False
    #: `/jobs`: whether threads get the context of their submitter.
    executor: Literal["plain", "context"] = "plain"
    #: `/chat`: what is used beside.
    attached: Literal["langchain", "logs", "prompt"] | None = None
