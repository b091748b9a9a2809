"""Trace attributes that all observations of a context have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from contextvars import Token
from json.encoder import encode_basestring as escape
from typing import Any

from .._config import logger
from .._recorder.strings import RecentStrings
from .._recorder.values import Limits, PlainEncoding
from .agnostic import AgnosticContextManager
from .context import Active, active, leave

_MAX_CHARS = 200
_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]+")
_MAX_ENVIRONMENT_CHARS = 40


class Propagated:
    """Immutable. `text`: its JSON members as each record of the context has them, made once."""

    __slots__ = ("environment", "fields", "prompt", "text", "trace", "version")

    def __init__(
        self,
        trace: Mapping[str, Any],
        environment: str | None,
        version: str | None,
        prompt: Mapping[str, Any] | None,
    ) -> None:
        self.trace = trace
        self.environment = environment
        self.version = version
        self.prompt = prompt
        self.fields: dict[str, Any] = {}
        if trace:
            self.fields["trace"] = trace
        if environment is not None:
            self.fields["environment"] = environment
        if version is not None:
            self.fields["version"] = version
        if prompt is not None:
            self.fields["prompt"] = prompt
        # Records of any segment have it: it refers to none of its strings.
        encoding = PlainEncoding(RecentStrings(), 0, Limits())
        self.text = "".join(f",{escape(name)}:{encoding.value(value)}" for name, value in self.fields.items())

    def merged(self, other: Propagated) -> Propagated:
        """Tags unite, metadata merges, the rest of `other` replaces."""
        trace = {**self.trace, **other.trace}
        tags = [*self.trace.get("tags", ()), *other.trace.get("tags", ())]
        if tags:
            trace["tags"] = list(dict.fromkeys(tags))
        metadata = {**self.trace.get("metadata", {}), **other.trace.get("metadata", {})}
        if metadata:
            trace["metadata"] = metadata
        return Propagated(
            trace,
            other.environment if other.environment is not None else self.environment,
            other.version if other.version is not None else self.version,
            other.prompt if other.prompt is not None else self.prompt,
        )


def propagate_attributes(
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    version: str | None = None,
    tags: list[str] | None = None,
    trace_name: str | None = None,
    environment: str | None = None,
    prompt: Any = None,
    as_baggage: bool = False,
) -> AgnosticContextManager[Any]:
    """Trace attributes for the active observation and all that begin within: as a context manager or a decorator.

    Strings may have 200 characters; what is longer is dropped, with a warning. `as_baggage` is accepted and does nothing.
    """
    return _Propagation(
        user_id, session_id, metadata, version, tags, trace_name, environment, prompt, as_baggage
    )


class _Propagation(AgnosticContextManager[Any]):
    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments
        self._token: Token[Active | None] | None = None

    def _again(self) -> _Propagation:
        return _Propagation(*self._arguments)

    def __enter__(self) -> None:
        added = checked(*self._arguments[:8])
        outer = active.get()
        before = outer.propagated if outer is not None else None
        propagated = added if before is None else before.merged(added)
        observation = outer.observation if outer is not None else None
        if observation is not None and added.fields:
            observation._record(dict(added.fields))
        self._token = active.set(Active(observation, propagated))

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            leave(self._token)
            self._token = None


def checked(
    user_id: Any,
    session_id: Any,
    metadata: Any,
    version: Any,
    tags: Any,
    trace_name: Any,
    environment: Any,
    prompt: Any,
) -> Propagated:
    trace: dict[str, Any] = {}
    for name, key, value in (
        ("trace_name", "name", trace_name),
        ("user_id", "user_id", user_id),
        ("session_id", "session_id", session_id),
    ):
        text = _text(name, value)
        if text is not None:
            trace[key] = text
    if tags is not None and _is(tags, (list, tuple, Set), "tags"):
        kept = [tag for tag in tags if _text("tags", tag) is not None]
        if kept:
            trace["tags"] = kept
    if metadata and _is(metadata, Mapping, "metadata"):
        entries = {str(key): value for key, value in metadata.items() if _is_short(str(key), value)}
        if entries:
            trace["metadata"] = entries
    return Propagated(trace, _environment(environment), _text("version", version), prompt_link(prompt))


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        logger.warning("propagate_attributes: %s is no string; it is dropped", name)
    elif len(value) > _MAX_CHARS:
        logger.warning(
            "propagate_attributes: %s has %d characters, more than %d; it is dropped",
            name,
            len(value),
            _MAX_CHARS,
        )
    else:
        return str(value)
    return None


def _is(value: Any, kind: Any, name: str) -> bool:
    if isinstance(value, kind):
        return True
    logger.warning("propagate_attributes: %s is a %s; it is dropped", name, type(value).__name__)
    return False


def _is_short(key: str, value: Any) -> bool:
    if value is None:
        logger.warning("propagate_attributes: metadata.%s is None; it is dropped", key)
        return False
    length = len(PlainEncoding(RecentStrings(), 0, Limits()).value(value))
    if isinstance(value, str) and len(value) > _MAX_CHARS:
        length = len(value)
    if length > _MAX_CHARS:
        logger.warning(
            "propagate_attributes: metadata.%s has %d characters, more than %d; it is dropped",
            key,
            length,
            _MAX_CHARS,
        )
        return False
    return True


def _environment(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= _MAX_ENVIRONMENT_CHARS and _ENVIRONMENT.fullmatch(value):
        return str(value)
    logger.warning(
        "propagate_attributes: environment is not 1 to %d of a-z, 0-9, - and _, or begins with langfuse; it is dropped",
        _MAX_ENVIRONMENT_CHARS,
    )
    return None


def prompt_link(prompt: Any) -> dict[str, Any] | None:
    """What links a generation to a prompt; a fallback prompt links to nothing."""
    if prompt is None:
        return None

    def get(name: str) -> Any:
        return prompt.get(name) if isinstance(prompt, Mapping) else getattr(prompt, name, None)

    if get("is_fallback"):
        return None
    name, version = get("name"), get("version")
    link: dict[str, Any] = {}
    if isinstance(name, str):
        link["name"] = name
    if isinstance(version, int):
        link["version"] = version
    return link or None
