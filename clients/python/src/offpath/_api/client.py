"""The client: Langfuse's class and its names, on one recorder for the process."""

from __future__ import annotations

import atexit
import base64
import contextlib
import datetime
import json
import os
import threading

# A warning's text imports these two. In a child that was forked while another thread did so, that would wait for ever.
import tokenize  # noqa: F401
import tracemalloc  # noqa: F401
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from json.encoder import encode_basestring as escape
from math import isfinite
from time import monotonic, sleep, time_ns
from typing import Any, Literal
from urllib.request import Request, urlopen

from .._config import Config, load, logger
from .._prompts.cache import cache_of, reset_caches
from .._prompts.server import PromptServer
from .._recorder.recorder import Recorder
from .._recorder.values import Limits
from .._spool.tiers import Tier
from .._version import __version__
from .context import active
from .ids import (
    is_sampled,
    is_span_id,
    is_trace_id,
    new_span_id,
    new_trace_id,
    seeded_span_id,
    seeded_trace_id,
)
from .observation import (
    LangfuseObservationWrapper,
    RemoteParent,
    ScoreDataType,
    SpanLevel,
    Starters,
    TraceContext,
)
from .prompts import PromptMethods

_DEFAULT_BASE_URL = "https://cloud.langfuse.com"
_FAILED_MASK = "<fully masked due to failed mask function>"
_POLL_S = 0.02
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

#: What Langfuse's client does beside tracing. It is done by an installed `langfuse`.
_ELSEWHERE = frozenset(
    (
        "api",
        "async_api",
        "get_dataset",
        "create_dataset",
        "create_dataset_item",
        "run_experiment",
        "run_batched_evaluation",
        "resolve_media_references",
    )
)


class OffpathWarning(UserWarning):
    """Something about recording that its operator should know. The text begins with a code of docs/errors.md."""


class Session:
    """One recorder for the process, whatever the number of clients."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._recorder: Recorder | None = None
        self._warned: set[str] = set()
        self._describe: dict[str, Any] = {}
        #: Reads what a relay that this process started has said.
        self.each_second: Callable[[], None] | None = None

    def recorder(self, config: Config) -> Recorder:
        with self.lock:
            if self._recorder is None:
                self._describe = {
                    "service": config.service,
                    "environment": config.environment,
                    "release": config.release,
                    "sdk": {"name": "offpath", "version": __version__},
                    "language": "python",
                    "resource": dict(config.resource),
                }
                tiers = [
                    Tier(config.spool_dir, config.spool_cap, False),
                    Tier(config.disk_dir, config.disk_cap, True),
                ]
                limits = Limits(config.max_value_bytes, config.max_depth, config.max_nodes)
                self._recorder = Recorder(
                    tiers, lambda: self._describe, self._warn, limits, self._each_second
                )
                atexit.register(self._recorder.close)
            return self._recorder

    def _each_second(self) -> None:
        if self.each_second is not None:
            self.each_second()

    def at_exit(self, then: Callable[[], object]) -> None:
        """Calls it at the process's exit, when all is recorded."""
        with self.lock:
            atexit.register(then)
            if self._recorder is not None:
                # The last that is registered is the first that is called.
                atexit.unregister(self._recorder.close)
                atexit.register(self._recorder.close)

    def _warn(self, message: str, code: str) -> None:
        """Once for each text."""
        if message not in self._warned and len(self._warned) < 100:
            self._warned.add(message)
            text = f"[{code}] {message}"
            try:
                warnings.warn(text, OffpathWarning, stacklevel=2)
            except Exception:
                # Where warnings are errors (`-W error`): still none of the application's.
                logger.warning(text)

    def stats(self) -> dict[str, Any] | None:
        return None if self._recorder is None else self._recorder.stats()

    def close(self) -> None:
        """For tests: the next client records anew."""
        with self.lock:
            if self._recorder is not None:
                self._recorder.close()
                atexit.unregister(self._recorder.close)
            self._recorder = None
            self._warned = set()


session = Session()
_clients: dict[str, Langfuse] = {}


def _unlock() -> None:
    """In a forked child: the thread that held it is not there."""
    session.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)

#: Which project decorated functions belong to, see `observe`.
current_public_key: ContextVar[str | None] = ContextVar("offpath_public_key", default=None)


class Langfuse(Starters, PromptMethods):
    """Langfuse's client, recording into the spool. Its arguments are Langfuse's.

    For tracing, keys are used by the relay, not here, and are never written to the spool; prompts are asked for with them.
    `timeout` (seconds) and `additional_headers` hold for prompts. What has to do with sending (`flush_at`,
    `flush_interval`, exporters, compression …) is accepted and belongs to the relay's configuration.
    `project`: a name under which the relay knows further keys.
    """

    def __init__(
        self,
        *,
        public_key: str | None = None,
        secret_key: str | None = None,
        base_url: str | None = None,
        host: str | None = None,
        timeout: int | None = None,
        httpx_client: Any = None,
        debug: bool = False,
        tracing_enabled: bool | None = True,
        flush_at: int | None = None,
        flush_interval: float | None = None,
        environment: str | None = None,
        release: str | None = None,
        media_upload_thread_count: int | None = None,
        sample_rate: float | None = None,
        mask: Any = None,
        mask_otel_spans: Any = None,
        should_export_span: Any = None,
        additional_headers: dict[str, str] | None = None,
        tracer_provider: Any = None,
        id_generator: Any = None,
        span_exporter: Any = None,
        otel_compression: Any = None,
        blocked_instrumentation_scopes: list[str] | None = None,
        project: str | None = None,
    ) -> None:
        self._client = self
        config = load()
        if sample_rate is not None and not 0.0 <= sample_rate <= 1.0:
            raise ValueError(f"Sample rate must be between 0.0 and 1.0, got {sample_rate}")
        env = os.environ
        self._public_key = public_key or env.get("LANGFUSE_PUBLIC_KEY")
        self._secret_key = secret_key or env.get("LANGFUSE_SECRET_KEY")
        self._base_url = (
            base_url or env.get("LANGFUSE_BASE_URL") or host or env.get("LANGFUSE_HOST") or _DEFAULT_BASE_URL
        )
        self._prompt_server = PromptServer(
            self._base_url,
            self._public_key,
            self._secret_key,
            timeout or config.timeout_seconds,
            additional_headers,
        )
        self._prompt_cache = cache_of(
            config.prompt_dir, self._prompt_server.url, self._public_key, session._warn
        )
        self._prompt_ttl = config.prompt_ttl_seconds
        self._environment = environment or config.environment
        self._sample_rate = config.sample_rate if sample_rate is None else sample_rate
        self._mask = mask
        self._project_id: str | None = None
        self._other: Any = None
        self._tracing_enabled = bool(tracing_enabled) and config.enabled
        if debug or env.get("LANGFUSE_DEBUG", "").lower() in ("true", "1"):
            logger.setLevel("DEBUG")
        # The first client's is what the process says of itself; another one's goes with each of its records.
        shared = Config(
            **{
                **config.__dict__,
                "environment": self._environment,
                "release": release or config.release,
            }
        )
        self._recorder = session.recorder(shared) if self._tracing_enabled else None
        members = ""
        if self._environment is not None and self._environment != session._describe.get("environment"):
            members += f',"environment":{escape(self._environment)}'
        name = self._project_name = project or config.project
        if name is not None:
            members += f',"project":{escape(name)}'
        self._members = members
        if self._tracing_enabled:
            self._register(name)

    def _register(self, project: str | None) -> None:
        key = self._public_key or ""
        with session.lock:
            others = [other for other in _clients if other != key]
            if others and project is None and key not in _clients:
                # Recorded as the first project's they would be another project's to read.
                self._recorder = None
                logger.warning(
                    "a second Langfuse project in this process needs Langfuse(project=<name>), "
                    "under which the relay has its keys; this client records nothing"
                )
            _clients[key] = self

    def _mask_value(self, data: Any) -> Any:
        mask = self._mask
        if mask is None or data is None:
            return data
        try:
            return mask(data=data)
        except Exception as error:
            logger.error("the mask function failed (%s); the value is not recorded", type(error).__name__)
            return _FAILED_MASK

    # --- observations ---

    def _fixed_parent(
        self, trace_context: TraceContext | None
    ) -> LangfuseObservationWrapper | RemoteParent | None:
        return self._parent_of(trace_context) if trace_context else None

    def _parent_of(self, trace_context: TraceContext) -> LangfuseObservationWrapper | RemoteParent | None:
        trace_id = trace_context.get("trace_id")
        span_id = trace_context.get("parent_span_id")
        if not is_trace_id(trace_id):
            logger.warning("trace id %r is not 32 lower-case hex digits; a new trace begins", trace_id)
            context = active.get()
            return context.observation if context is not None else None
        if span_id is not None and not is_span_id(span_id):
            logger.warning("parent span id %r is not 16 lower-case hex digits; it is ignored", span_id)
            span_id = None
        return RemoteParent(
            str(trace_id),
            str(span_id) if span_id else new_span_id(),
            is_sampled=is_sampled(str(trace_id), self._sample_rate),
        )

    # --- the active observation ---

    def update_current_span(
        self,
        *,
        name: str | None = None,
        input: Any = None,
        output: Any = None,
        metadata: Any = None,
        version: str | None = None,
        level: SpanLevel | None = None,
        status_message: str | None = None,
    ) -> None:
        """Updates the active observation."""
        observation = self._current()
        if observation is not None:
            observation.update(
                name=name,
                input=input,
                output=output,
                metadata=metadata,
                version=version,
                level=level,
                status_message=status_message,
            )

    def update_current_generation(self, **attributes: Any) -> None:
        """Updates the active observation, which becomes a generation if it is none."""
        observation = self._current()
        if observation is not None:
            observation._update_as_generation(**attributes)

    def update_current_trace(self, **attributes: Any) -> None:
        """Langfuse 3's: trace attributes, recorded on the active observation."""
        observation = self._current()
        if observation is not None:
            observation.update_trace(**attributes)

    def set_current_trace_io(self, *, input: Any = None, output: Any = None) -> None:
        """Langfuse 4's: input and output of the active trace."""
        observation = self._current()
        if observation is not None:
            observation.set_trace_io(input=input, output=output)

    def set_current_trace_as_public(self) -> None:
        """Makes the active trace visible to everybody who has its link; this can't be taken back."""
        observation = self._current()
        if observation is not None:
            observation.set_trace_as_public()

    def _current(self) -> LangfuseObservationWrapper | None:
        context = active.get()
        if context is None or context.observation is None:
            logger.debug("there is no active observation")
            return None
        return context.observation

    def get_current_trace_id(self) -> str | None:
        """32 hex digits; None when no observation is active, or the client is disabled."""
        observation = self._current() if self._tracing_enabled else None
        return None if observation is None else observation.trace_id

    def get_current_observation_id(self) -> str | None:
        """16 hex digits; None when no observation is active, or the client is disabled."""
        observation = self._current() if self._tracing_enabled else None
        return None if observation is None else observation.id

    # --- ids ---

    @staticmethod
    def create_trace_id(*, seed: str | None = None) -> str:
        """A new trace id; with `seed`, the same for the same seed."""
        return seeded_trace_id(seed) if seed else new_trace_id()

    @staticmethod
    def create_observation_id(*, seed: str | None = None) -> str:
        """A new observation id; with `seed`, the same for the same seed."""
        return seeded_span_id(seed) if seed else new_span_id()

    # --- scores ---

    def create_score(
        self,
        *,
        name: str,
        value: float | str,
        session_id: str | None = None,
        dataset_run_id: str | None = None,
        trace_id: str | None = None,
        observation_id: str | None = None,
        score_id: str | None = None,
        data_type: ScoreDataType | None = None,
        comment: str | None = None,
        config_id: str | None = None,
        metadata: Any = None,
        timestamp: datetime.datetime | None = None,
        environment: str | None = None,
    ) -> None:
        """Records a score of a trace, an observation, a session or a dataset run; the relay delivers it to Langfuse.

        `value`: a number, for BOOLEAN 0 or 1, or a text. `score_id`: a score of the same id and `timestamp` replaces this
        one. A `timestamp` without a time zone is UTC. Nothing is recorded of a trace that is not sampled.
        """
        self._score(
            False,
            name=name,
            value=value,
            session_id=session_id,
            dataset_run_id=dataset_run_id,
            trace_id=trace_id,
            observation_id=observation_id,
            score_id=score_id,
            data_type=data_type,
            comment=comment,
            config_id=config_id,
            metadata=metadata,
            timestamp=timestamp,
            environment=environment,
        )

    def _score(
        self,
        is_recorded: bool,
        *,
        name: str,
        value: float | str,
        trace_id: str | None,
        score_id: str | None,
        timestamp: datetime.datetime | None,
        environment: str | None,
        **fields: Any,
    ) -> None:
        """`is_recorded`: that its trace is, is known; else its id tells."""
        recorder = self._recorder
        if recorder is None:
            return
        if not is_recorded and is_trace_id(trace_id) and not is_sampled(str(trace_id), self._sample_rate):
            return
        try:
            if not isinstance(value, str):
                # True is 1.0, as in Langfuse's SDK.
                value = float(value)
                if not isfinite(value):
                    raise ValueError(f"{value} is no score")
            record = {
                "id": score_id or new_span_id(),
                "name": str(name),
                "value": value,
                "timestamp": str(_nanoseconds(timestamp)),
                "trace_id": trace_id,
                **fields,
                "environment": environment or self._environment,
                "project": self._project_name,
            }
        except Exception as error:
            logger.error("a score can't be recorded: %s: %s", type(error).__name__, error)
            recorder.lose_score("invalid")
            return
        recorder.score(record)

    def score_current_span(self, *, name: str, value: float | str, **attributes: Any) -> None:
        """Scores the active observation."""
        observation = self._current()
        if observation is not None:
            observation.score(name=name, value=value, **attributes)

    def score_current_trace(self, *, name: str, value: float | str, **attributes: Any) -> None:
        """Scores the active trace."""
        observation = self._current()
        if observation is not None:
            observation.score_trace(name=name, value=value, **attributes)

    # --- the relay and the server ---

    def flush(self, *, until: Literal["delivered"] | None = None, timeout: float = 10.0) -> bool:
        """Everything is in the spool already, so this returns at once.

        With `until="delivered"` it waits, at most `timeout` seconds, until the relay has delivered what had ended; this
        blocks the calling thread. True when that was reached.
        """
        recorder = self._recorder
        if recorder is None or until is None:
            return True
        place = recorder.place
        if place is None:
            return True
        directory, segment, offset = place
        question = os.path.join(directory, f"{recorder.writer_id}.flush")
        try:
            _write_private(question, json.dumps({"segment": segment, "offset": offset}))
            end = monotonic() + timeout
            while os.path.exists(question):
                if monotonic() >= end:
                    return False
                sleep(_POLL_S)
            return True
        except OSError as error:
            logger.warning("cannot ask the relay in %s: %s", directory, error)
            return False

    def shutdown(self) -> None:
        """Ends the segment. What is recorded afterwards opens another one."""
        if self._recorder is not None:
            self._recorder.close()

    def stats(self) -> dict[str, Any]:
        """Observations, records and bytes of the process, and what was lost, by reason."""
        return session.stats() or {}

    def auth_check(self) -> bool:
        """Whether the server takes the keys. Blocks for an HTTP request; not for use in production, as with Langfuse."""
        return self._project() is not None

    def get_trace_url(self, *, trace_id: str | None = None) -> str | None:
        """Where Langfuse shows the trace. The first call asks the server for the project's id."""
        trace = trace_id or self.get_current_trace_id()
        if trace is None:
            return None
        project = self._project_id or self._project()
        return None if project is None else f"{self._base_url}/project/{project}/traces/{trace}"

    def _project(self) -> str | None:
        if not self._public_key or not self._secret_key:
            logger.warning(
                "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are needed to ask the server for the project"
            )
            return None
        basic = base64.b64encode(f"{self._public_key}:{self._secret_key}".encode()).decode()
        request = Request(
            f"{self._base_url}/api/public/projects", headers={"Authorization": f"Basic {basic}"}
        )
        try:
            with urlopen(request, timeout=5) as response:
                self._project_id = str(json.load(response)["data"][0]["id"])
        except Exception as error:
            logger.warning("%s did not say which project it is: %s", self._base_url, error)
            return None
        return self._project_id

    def _langfuse(self, name: str) -> Any:
        if self._other is None:
            try:
                from langfuse import Langfuse as Other  # type: ignore[import-not-found,unused-ignore]
            except ImportError:
                raise NotImplementedError(
                    f"{name} is not tracing and is left to Langfuse's own SDK: pip install langfuse"
                ) from None
            self._other = Other(
                public_key=self._public_key,
                secret_key=self._secret_key,
                base_url=self._base_url,
                environment=self._environment,
            )
        return self._other

    def __getattr__(self, name: str) -> Any:
        if name in _ELSEWHERE:
            return getattr(self._langfuse(name), name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def get_client(*, public_key: str | None = None) -> Langfuse:
    """The client of a project; of the only one when no key is given. With several, a key is needed: a client that records
    nothing is returned without one, so that nothing gets into the wrong project."""
    key = public_key or current_public_key.get()
    if key:
        client = _clients.get(key)
        if client is not None:
            return client
        logger.warning("no client was made with the public key that is asked for; nothing is recorded")
        return _disabled()
    if len(_clients) == 1:
        return next(iter(_clients.values()))
    if not _clients:
        client = Langfuse()
        return client
    logger.warning("there are several clients: pass public_key; nothing is recorded")
    return _disabled()


def _disabled() -> Langfuse:
    return Langfuse(tracing_enabled=False)


def _nanoseconds(time: datetime.datetime | None) -> int:
    """Since 1970; now when none is given."""
    if time is None:
        return time_ns()
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.timezone.utc)
    return max(0, (time - _EPOCH) // datetime.timedelta(microseconds=1) * 1000)


def _write_private(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
    try:
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def reset() -> None:
    """For tests: forgets all clients and ends the segment."""
    session.close()
    reset_caches()
    with session.lock:
        _clients.clear()
