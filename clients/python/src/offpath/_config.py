"""The only place where the environment is read. OFFPATH_* comes before LANGFUSE_*, this before OTEL_*."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote

logger = logging.getLogger("offpath")

_T = TypeVar("_T")
_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4}
#: Where continuous integration and hosts say which release it is, as Langfuse's SDK asks them.
_RELEASE_VARIABLES = (
    "RENDER_GIT_COMMIT",
    "CI_COMMIT_SHA",
    "CIRCLE_SHA1",
    "HEROKU_SLUG_COMMIT",
    "SOURCE_VERSION",
    "TRAVIS_COMMIT",
    "GIT_COMMIT",
    "GITHUB_SHA",
    "BITBUCKET_COMMIT",
    "BUILD_SOURCEVERSION",
    "DRONE_COMMIT_SHA",
)


@dataclass(frozen=True)
class Config:
    enabled: bool = True
    sample_rate: float = 1.0
    service: str | None = None
    environment: str | None = None
    release: str | None = None
    project: str | None = None
    resource: Mapping[str, Any] = field(default_factory=dict)
    spool_dir: str = ""
    #: None: 64 MB or half of what is free.
    spool_cap: int | None = None
    disk_dir: str = ""
    disk_cap: int = 1024**3
    max_value_bytes: int = 32 * 1024**2
    max_depth: int = 64
    max_nodes: int = 20_000
    #: Where the prompts that were had last are kept.
    prompt_dir: str = ""
    prompt_ttl_seconds: float = 60.0
    #: For a request to Langfuse.
    timeout_seconds: float = 5.0


def load(environ: Mapping[str, str] | None = None) -> Config:
    """From the environment. A variable that can't be used is warned of, by its name, and ignored."""
    env = os.environ if environ is None else environ
    resource = _pairs(env, "OTEL_RESOURCE_ATTRIBUTES") | _pairs(env, "OFFPATH_RESOURCE")
    service = _first(env, "OFFPATH_SERVICE", "OTEL_SERVICE_NAME") or resource.pop("service.name", None)
    resource.pop("service.name", None)
    return Config(
        enabled=_enabled(env),
        sample_rate=_read(
            env, _rate, "a number from 0 to 1", 1.0, "OFFPATH_SAMPLE_RATE", "LANGFUSE_SAMPLE_RATE"
        ),
        service=service,
        environment=_first(env, "OFFPATH_ENVIRONMENT", "LANGFUSE_TRACING_ENVIRONMENT"),
        release=_first(env, "OFFPATH_RELEASE", "LANGFUSE_RELEASE", *_RELEASE_VARIABLES),
        project=_first(env, "OFFPATH_PROJECT"),
        resource=resource,
        spool_dir=_first(env, "OFFPATH_SPOOL_DIR") or default_spool_dir(),
        spool_cap=_read(env, _size, _SIZE, None, "OFFPATH_SPOOL_CAP"),
        disk_dir=_first(env, "OFFPATH_SPOOL_DISK_DIR") or default_disk_dir(env),
        disk_cap=_read(env, _size, _SIZE, 1024**3, "OFFPATH_SPOOL_DISK_CAP"),
        max_value_bytes=_read(env, _size, _SIZE, 32 * 1024**2, "OFFPATH_MAX_VALUE_BYTES"),
        max_depth=_read(env, _count, _COUNT, 64, "OFFPATH_MAX_DEPTH"),
        max_nodes=_read(env, _count, _COUNT, 20_000, "OFFPATH_MAX_NODES"),
        prompt_dir=_first(env, "OFFPATH_PROMPT_DIR") or os.path.join(_state_dir(env), "prompts"),
        prompt_ttl_seconds=_read(
            env,
            _seconds,
            "seconds, a number from 0",
            60.0,
            "LANGFUSE_PROMPT_CACHE_DEFAULT_TTL_SECONDS",
        ),
        timeout_seconds=_read(env, _seconds, "seconds, a number from 0", 5.0, "LANGFUSE_TIMEOUT") or 5.0,
    )


def skips_raw_responses() -> bool:
    """Whether `with_raw_response` of OpenAI's SDK is left out, for libraries that are traced themselves."""
    return os.environ.get("LANGFUSE_OPENAI_SKIP_RAW_RESPONSES", "").lower() in ("true", "1")


def default_spool_dir() -> str:
    """In memory where there is a place for it."""
    uid = os.getuid() if hasattr(os, "getuid") else "user"
    if sys.platform == "linux" and os.path.isdir("/dev/shm"):
        return f"/dev/shm/offpath-{uid}"
    return os.path.join(tempfile.gettempdir(), f"offpath-{uid}")


def default_disk_dir(env: Mapping[str, str]) -> str:
    return os.path.join(_state_dir(env), "spool")


def _state_dir(env: Mapping[str, str]) -> str:
    state = env.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "offpath")


def _enabled(env: Mapping[str, str]) -> bool:
    for name, opposite in (
        ("OFFPATH_ENABLED", False),
        ("LANGFUSE_TRACING_ENABLED", False),
        ("OTEL_SDK_DISABLED", True),
    ):
        value = _read(env, _bool, "true or false", None, name)
        if value is not None:
            return value is not opposite
    return True


def _first(env: Mapping[str, str], *names: str) -> str | None:
    return next((value for value in map(env.get, names) if value), None)


def _read(
    env: Mapping[str, str], parse: Callable[[str], _T], expects: str, otherwise: Any, *names: str
) -> Any:
    for name in names:
        text = env.get(name)
        if not text:
            continue
        try:
            return parse(text)
        except ValueError:
            logger.warning("%s: %r is not %s; it is ignored", name, text, expects)
    return otherwise


_SIZE = "bytes or a size such as 64MB (B, KB, MB, GB, TB)"
_COUNT = "a whole number from 1"


def _bool(text: str) -> bool:
    if re.fullmatch("true|1|yes|on", text, re.I):
        return True
    if re.fullmatch("false|0|no|off", text, re.I):
        return False
    raise ValueError


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate <= 1:
        raise ValueError
    return rate


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?b)?", text.strip(), re.I)
    if match is None:
        raise ValueError
    size = int(float(match[1]) * _UNITS[(match[2] or "").lower()])
    if size < 1:
        raise ValueError
    return size


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _pairs(env: Mapping[str, str], name: str) -> dict[str, Any]:
    text = env.get(name)
    if not text:
        return {}
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(separator and key.strip() for key, separator, _ in pairs):
        logger.warning("%s is not of the form key=value,key=value; it is ignored", name)
        return {}
    return {key.strip(): unquote(value.strip()) for key, _, value in pairs}
