"""Observations: what `start_observation` and its like return. They hold ids; what is set on them is in the spool."""

from __future__ import annotations

import datetime
import traceback as tracebacks
from collections.abc import Mapping
from contextvars import Token
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from .._config import logger
from .._recorder.values import iso_time
from .agnostic import AgnosticContextManager
from .context import Active, active, leave
from .ids import ZERO_SPAN_ID, ZERO_TRACE_ID, is_sampled, new_span_id, new_trace_id
from .propagate import prompt_link
from .upstream import Call, current_upstream

if TYPE_CHECKING:
    from .._recorder.recorder import Recorder
    from .client import Langfuse

ObservationTypeLiteralNoEvent: TypeAlias = Literal[
    "generation", "embedding", "span", "agent", "tool", "chain", "retriever", "evaluator", "guardrail"
]
ObservationTypeLiteral: TypeAlias = Literal[
    "generation",
    "embedding",
    "span",
    "agent",
    "tool",
    "chain",
    "retriever",
    "evaluator",
    "guardrail",
    "event",
]
SpanLevel: TypeAlias = Literal["DEBUG", "DEFAULT", "WARNING", "ERROR"]
TraceContext: TypeAlias = Mapping[str, Any]
ScoreDataType: TypeAlias = Literal["NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"]

_O = TypeVar("_O", bound="LangfuseObservationWrapper")
_C = TypeVar("_C", bound="LangfuseObservationWrapper", covariant=True)
_M = TypeVar("_M", bound="_ModelCall")
_APP_ROOT = ',"app_root":true'


class Starters:
    """What begins observations: on the client under what is active, on an observation under it."""

    __slots__ = ()
    _client: Langfuse

    def _fixed_parent(
        self, trace_context: TraceContext | None
    ) -> LangfuseObservationWrapper | RemoteParent | None:
        """Under what an observation begins; None: under what is active then."""
        raise NotImplementedError

    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["generation"], **attributes: Any
    ) -> LangfuseGeneration: ...
    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["span"] = "span", **attributes: Any
    ) -> LangfuseSpan: ...
    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["agent"], **attributes: Any
    ) -> LangfuseAgent: ...
    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["tool"], **attributes: Any
    ) -> LangfuseTool: ...
    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["chain"], **attributes: Any
    ) -> LangfuseChain: ...
    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["retriever"], **attributes: Any
    ) -> LangfuseRetriever: ...
    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["evaluator"], **attributes: Any
    ) -> LangfuseEvaluator: ...
    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["embedding"], **attributes: Any
    ) -> LangfuseEmbedding: ...
    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["guardrail"], **attributes: Any
    ) -> LangfuseGuardrail: ...
    @overload
    def start_observation(
        self, *, name: str, as_type: Literal["event"], **attributes: Any
    ) -> LangfuseEvent: ...

    def start_observation(  # type: ignore[misc]
        self,
        *,
        trace_context: TraceContext | None = None,
        name: str,
        as_type: ObservationTypeLiteral = "span",
        input: Any = None,
        output: Any = None,
        metadata: Any = None,
        version: str | None = None,
        level: SpanLevel | None = None,
        status_message: str | None = None,
        completion_start_time: datetime.datetime | None = None,
        model: str | None = None,
        model_parameters: Mapping[str, Any] | None = None,
        usage_details: Mapping[str, int] | None = None,
        cost_details: Mapping[str, float] | None = None,
        prompt: Any = None,
    ) -> Any:
        """Starts an observation under the active one, or as a new trace. It is not made active, and you end it."""
        client = self._client
        fields = fields_of(client, input, output, metadata, version, level, status_message)
        if as_type in GENERATION_LIKE:
            add_generation_fields(
                fields, completion_start_time, model, model_parameters, usage_details, cost_details, prompt
            )
        parent = self._fixed_parent(trace_context)
        if parent is None:
            context = active.get()
            parent = context.observation if context is not None else None
        return begin(client, as_type, name, parent, fields)

    @overload
    def start_as_current_observation(
        self, *, name: str, as_type: Literal["span"] = "span", **attributes: Any
    ) -> CurrentObservation[LangfuseSpan]: ...
    @overload
    def start_as_current_observation(
        self, *, name: str, as_type: Literal["generation"], **attributes: Any
    ) -> CurrentObservation[LangfuseGeneration]: ...
    @overload
    def start_as_current_observation(
        self, *, name: str, as_type: Literal["embedding"], **attributes: Any
    ) -> CurrentObservation[LangfuseEmbedding]: ...
    @overload
    def start_as_current_observation(
        self, *, name: str, as_type: Literal["agent"], **attributes: Any
    ) -> CurrentObservation[LangfuseAgent]: ...
    @overload
    def start_as_current_observation(
        self, *, name: str, as_type: Literal["tool"], **attributes: Any
    ) -> CurrentObservation[LangfuseTool]: ...
    @overload
    def start_as_current_observation(
        self, *, name: str, as_type: Literal["chain"], **attributes: Any
    ) -> CurrentObservation[LangfuseChain]: ...
    @overload
    def start_as_current_observation(
        self, *, name: str, as_type: Literal["retriever"], **attributes: Any
    ) -> CurrentObservation[LangfuseRetriever]: ...
    @overload
    def start_as_current_observation(
        self, *, name: str, as_type: Literal["evaluator"], **attributes: Any
    ) -> CurrentObservation[LangfuseEvaluator]: ...
    @overload
    def start_as_current_observation(
        self, *, name: str, as_type: Literal["guardrail"], **attributes: Any
    ) -> CurrentObservation[LangfuseGuardrail]: ...

    def start_as_current_observation(
        self,
        *,
        trace_context: TraceContext | None = None,
        name: str,
        as_type: ObservationTypeLiteralNoEvent = "span",
        end_on_exit: bool | None = None,
        **attributes: Any,
    ) -> CurrentObservation[Any]:
        """A context manager, or a decorator, in which a new observation is active; it ends with it."""
        parent = self._fixed_parent(trace_context)
        return CurrentObservation(self._client, as_type, name, parent, end_on_exit is not False, attributes)

    def start_span(self, name: str, **attributes: Any) -> LangfuseSpan:
        """Langfuse 3's `start_observation(as_type="span")`."""
        return self.start_observation(name=name, as_type="span", **attributes)

    def start_generation(self, *, name: str, **attributes: Any) -> LangfuseGeneration:
        """Langfuse 3's `start_observation(as_type="generation")`."""
        return self.start_observation(name=name, as_type="generation", **attributes)

    def start_as_current_span(self, *, name: str, **attributes: Any) -> CurrentObservation[LangfuseSpan]:
        """Langfuse 3's `start_as_current_observation(as_type="span")`."""
        return self.start_as_current_observation(name=name, as_type="span", **attributes)

    def start_as_current_generation(
        self, *, name: str, **attributes: Any
    ) -> CurrentObservation[LangfuseGeneration]:
        """Langfuse 3's `start_as_current_observation(as_type="generation")`."""
        return self.start_as_current_observation(name=name, as_type="generation", **attributes)

    def create_event(
        self,
        *,
        trace_context: TraceContext | None = None,
        name: str,
        input: Any = None,
        output: Any = None,
        metadata: Any = None,
        version: str | None = None,
        level: SpanLevel | None = None,
        status_message: str | None = None,
    ) -> LangfuseEvent:
        """Records a point in time under the active observation."""
        return self.start_observation(
            name=name,
            as_type="event",
            trace_context=trace_context,
            input=input,
            output=output,
            metadata=metadata,
            version=version,
            level=level,
            status_message=status_message,
        )


class LangfuseObservationWrapper(Starters):
    """What all observations can do. Safe to use from several threads and tasks."""

    __slots__ = ("_client", "_ended", "_environment", "_epoch", "_offset", "_recorder", "id", "trace_id")
    _type: str = "span"

    #: 16 and 32 hex digits.
    id: str
    trace_id: str
    _client: Langfuse
    _ended: bool
    #: Of the trace attributes that it began under.
    _environment: str | None
    #: The recorder's when it began, and what its clock adds to the monotonic one.
    _epoch: int
    _offset: int
    #: None: nothing is recorded of it (disabled, not sampled, or another process's).
    _recorder: Recorder | None

    def _record(self, fields: dict[str, Any]) -> None:
        recorder = self._recorder
        # What began before a fork is the parent's to change.
        if recorder is None or self._ended or not fields or recorder.epoch != self._epoch:
            return
        recorder.update(self.id, fields)

    def update(
        self: _O,
        *,
        name: str | None = None,
        input: Any = None,
        output: Any = None,
        metadata: Any = None,
        version: str | None = None,
        level: SpanLevel | None = None,
        status_message: str | None = None,
        completion_start_time: datetime.datetime | None = None,
        model: str | None = None,
        model_parameters: Mapping[str, Any] | None = None,
        usage_details: Mapping[str, int] | None = None,
        cost_details: Mapping[str, float] | None = None,
        prompt: Any = None,
        **kwargs: Any,
    ) -> _O:
        """Records what is given; None changes nothing. Further keywords are ignored, as by Langfuse, and so are the model
        and what belongs to it on observations that are no generation or embedding."""
        if self._recorder is not None and not self._ended:
            fields = fields_of(self._client, input, output, metadata, version, level, status_message)
            if name:
                fields["name"] = _text(name)
            if (
                model is not None
                or usage_details is not None
                or model_parameters is not None
                or completion_start_time is not None
                or cost_details is not None
                or prompt is not None
            ) and self._type in GENERATION_LIKE:
                add_generation_fields(
                    fields,
                    completion_start_time,
                    model,
                    model_parameters,
                    usage_details,
                    cost_details,
                    prompt,
                )
            self._record(fields)
        return self

    def _update_as_generation(
        self,
        *,
        name: str | None = None,
        input: Any = None,
        output: Any = None,
        metadata: Any = None,
        version: str | None = None,
        level: SpanLevel | None = None,
        status_message: str | None = None,
        completion_start_time: datetime.datetime | None = None,
        model: str | None = None,
        model_parameters: Mapping[str, Any] | None = None,
        usage_details: Mapping[str, int] | None = None,
        cost_details: Mapping[str, float] | None = None,
        prompt: Any = None,
    ) -> None:
        """Records what is given, and that this is a generation, whatever it began as."""
        fields = fields_of(self._client, input, output, metadata, version, level, status_message)
        add_generation_fields(
            fields, completion_start_time, model, model_parameters, usage_details, cost_details, prompt
        )
        if name:
            fields["name"] = _text(name)
        if self._type != "generation":
            fields["type"] = "generation"
        self._record(fields)

    def end(self: _O, *, end_time: int | None = None) -> _O:
        """Ends the observation, now or at `end_time` (nanoseconds since 1970). Nothing changes it afterwards."""
        recorder = self._recorder
        if recorder is not None and not self._ended and recorder.epoch == self._epoch:
            self._ended = True
            recorder.end(self.id, monotonic_ns() + self._offset if end_time is None else int(end_time))
        return self

    def _fixed_parent(self, trace_context: TraceContext | None) -> LangfuseObservationWrapper:
        return self

    # --- the trace ---

    def update_trace(
        self: _O,
        *,
        name: str | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        version: str | None = None,
        input: Any = None,
        output: Any = None,
        metadata: Any = None,
        tags: list[str] | None = None,
        public: bool | None = None,
    ) -> _O:
        """Trace attributes, recorded on this observation."""
        mask = self._client._mask_value
        trace = {
            "name": name,
            "user_id": user_id,
            "session_id": session_id,
            "input": mask(input),
            "output": mask(output),
            "metadata": mask(metadata),
            "tags": tags,
            "public": public,
        }
        fields: dict[str, Any] = {"trace": {key: value for key, value in trace.items() if value is not None}}
        if version is not None:
            fields["version"] = version
        self._record(fields)
        return self

    def set_trace_io(self: _O, *, input: Any = None, output: Any = None) -> _O:
        """Input and output of the whole trace."""
        return self.update_trace(input=input, output=output)

    def set_trace_as_public(self: _O) -> _O:
        """Makes the trace visible to everybody who has its link; this can't be taken back."""
        return self.update_trace(public=True)

    def score(
        self,
        *,
        name: str,
        value: float | str,
        score_id: str | None = None,
        data_type: ScoreDataType | None = None,
        comment: str | None = None,
        config_id: str | None = None,
        timestamp: datetime.datetime | None = None,
        metadata: Any = None,
    ) -> None:
        """Scores this observation."""
        self._client._score(
            self._recorder is not None,
            name=name,
            value=value,
            trace_id=self.trace_id,
            observation_id=self.id,
            score_id=score_id,
            data_type=data_type,
            comment=comment,
            config_id=config_id,
            timestamp=timestamp,
            metadata=metadata,
            environment=self._environment,
        )

    def score_trace(
        self,
        *,
        name: str,
        value: float | str,
        score_id: str | None = None,
        data_type: ScoreDataType | None = None,
        comment: str | None = None,
        config_id: str | None = None,
        timestamp: datetime.datetime | None = None,
        metadata: Any = None,
    ) -> None:
        """Scores the trace."""
        self._client._score(
            self._recorder is not None,
            name=name,
            value=value,
            trace_id=self.trace_id,
            score_id=score_id,
            data_type=data_type,
            comment=comment,
            config_id=config_id,
            timestamp=timestamp,
            metadata=metadata,
            environment=self._environment,
        )

    def _fail(self, error: BaseException) -> None:
        """As OpenTelemetry does when an exception leaves a span: an event with it, and the status."""
        if self._recorder is None or self._ended:
            return
        kind = type(error)
        qualified = (
            kind.__qualname__
            if kind.__module__ in ("builtins", "__main__")
            else f"{kind.__module__}.{kind.__qualname__}"
        )
        message = _text(error)
        try:
            stack = "".join(tracebacks.format_exception(kind, error, error.__traceback__))
        except Exception:
            # What the application raised is what it sees.
            stack = ""
        event = {
            "name": "exception",
            "time": str(time_ns()),
            "attributes": {
                "exception.type": qualified,
                "exception.message": message,
                "exception.stacktrace": stack,
                "exception.escaped": "False",
            },
        }
        self._record({"events": [event], "status": {"code": 2, "message": f"{kind.__name__}: {message}"}})


class LangfuseSpan(LangfuseObservationWrapper):
    __slots__ = ()


class _ModelCall(LangfuseObservationWrapper):
    """A generation or an embedding: its time counts as its request's upstream time."""

    __slots__ = ("_call",)
    #: None: it began in no request that is measured.
    _call: Call | None

    def end(self: _M, *, end_time: int | None = None) -> _M:
        if self._call is not None:
            self._call.end()
        return super().end(end_time=end_time)


class LangfuseGeneration(_ModelCall):
    __slots__ = ()
    _type = "generation"


class LangfuseEmbedding(_ModelCall):
    __slots__ = ()
    _type = "embedding"


class LangfuseAgent(LangfuseObservationWrapper):
    __slots__ = ()
    _type = "agent"


class LangfuseTool(LangfuseObservationWrapper):
    __slots__ = ()
    _type = "tool"


class LangfuseChain(LangfuseObservationWrapper):
    __slots__ = ()
    _type = "chain"


class LangfuseRetriever(LangfuseObservationWrapper):
    __slots__ = ()
    _type = "retriever"


class LangfuseEvaluator(LangfuseObservationWrapper):
    __slots__ = ()
    _type = "evaluator"


class LangfuseGuardrail(LangfuseObservationWrapper):
    __slots__ = ()
    _type = "guardrail"


class LangfuseEvent(LangfuseObservationWrapper):
    """A point in time: it has ended when it is returned."""

    __slots__ = ()
    _type = "event"

    def update(self, **kwargs: Any) -> LangfuseEvent:
        logger.warning("an event can't be updated: set what belongs to it when it is created")
        return self


CLASSES: dict[str, type[LangfuseObservationWrapper]] = {
    kind._type: kind
    for kind in (
        LangfuseSpan,
        LangfuseGeneration,
        LangfuseEmbedding,
        LangfuseAgent,
        LangfuseTool,
        LangfuseChain,
        LangfuseRetriever,
        LangfuseEvaluator,
        LangfuseGuardrail,
        LangfuseEvent,
    )
}
GENERATION_LIKE = ("generation", "embedding")


class RemoteParent:
    """A parent that lives elsewhere, by its ids."""

    __slots__ = ("flags", "id", "is_sampled", "trace_id")

    def __init__(
        self,
        trace_id: str,
        span_id: str,
        *,
        flags: str = ',"app_root":true,"as_root":true',
        is_sampled: bool = True,
    ) -> None:
        """`flags`: JSON members of its child's record. What is not sampled there is not recorded here."""
        self.trace_id = trace_id
        self.id = span_id
        self.flags = flags
        self.is_sampled = is_sampled


def begin(
    client: Langfuse,
    as_type: str,
    name: str,
    parent: LangfuseObservationWrapper | RemoteParent | None,
    fields: dict[str, Any],
    time: int | None = None,
    members: str = "",
) -> Any:
    """Starts an observation under `parent`, or a trace. `members`: more of its record, JSON with a comma before each."""
    kind = CLASSES.get(as_type)
    if kind is None:
        logger.warning("unknown observation type %r; it becomes a span", as_type)
        kind = LangfuseSpan
        as_type = "span"
    observation = kind()
    observation._client = client
    observation._ended = False
    observation._environment = None
    if as_type in GENERATION_LIKE:
        upstream = current_upstream.get()
        observation._call = None if upstream is None else upstream.begin()  # type: ignore[attr-defined]
    recorder = client._recorder
    if recorder is None:
        observation._recorder = None
        observation.id = parent.id if parent is not None else ZERO_SPAN_ID
        observation.trace_id = parent.trace_id if parent is not None else ZERO_TRACE_ID
        return observation
    clock = recorder.clock
    now = monotonic_ns()
    if now > clock.check_at:
        clock.check(now)
    offset = observation._offset = clock.offset
    observation._epoch = recorder.epoch
    span_id = observation.id = new_span_id()
    flags = ""
    if parent is None:
        trace_id = observation.trace_id = new_trace_id()
        parent_id = None
        flags = _APP_ROOT
        if client._sample_rate < 1 and not is_sampled(trace_id, client._sample_rate):
            observation._recorder = None
            return observation
    else:
        trace_id = observation.trace_id = parent.trace_id
        parent_id = parent.id
        if type(parent) is RemoteParent:
            if not parent.is_sampled:
                observation._recorder = None
                return observation
            flags = parent.flags
        else:
            if parent._recorder is None:  # type: ignore[union-attr]
                observation._recorder = None
                return observation
            if parent._ended:  # type: ignore[union-attr]
                flags = _APP_ROOT
    observation._recorder = recorder
    context = active.get()
    inherited = ""
    if context is not None and context.propagated is not None:
        inherited = context.propagated.text
        observation._environment = context.propagated.environment
    recorder.start(
        "event" if as_type == "event" else "start",
        span_id,
        trace_id,
        parent_id,
        now + offset if time is None else time,
        name if type(name) is str else _text(name),
        as_type,
        flags,
        fields,
        client._members + members + inherited,
    )
    if as_type == "event":
        observation._ended = True
    return observation


def fields_of(
    client: Langfuse,
    input: Any,
    output: Any,
    metadata: Any,
    version: Any,
    level: Any,
    status_message: Any,
) -> dict[str, Any]:
    """What all types of observations have, of what was given."""
    fields: dict[str, Any] = {}
    if client._mask is not None:
        input, output, metadata = map(client._mask_value, (input, output, metadata))
    if input is not None:
        fields["input"] = input
    if output is not None:
        fields["output"] = output
    if metadata is not None:
        fields["metadata"] = metadata
    if version is not None:
        fields["version"] = version if type(version) is str else _text(version)
    if level is not None:
        fields["level"] = level
        if level == "ERROR":
            # Of an earlier status nothing stays.
            message = "" if status_message is None else _text(status_message)
            fields["status"] = {"code": 2, "message": message}
    if status_message is not None:
        fields["status_message"] = status_message if type(status_message) is str else _text(status_message)
    return fields


def add_generation_fields(
    fields: dict[str, Any],
    completion_start_time: datetime.datetime | None,
    model: Any,
    model_parameters: Any,
    usage_details: Any,
    cost_details: Any,
    prompt: Any,
) -> None:
    if model is not None:
        fields["model"] = model if type(model) is str else _text(model)
    if model_parameters is not None:
        fields["model_parameters"] = model_parameters
    if usage_details is not None:
        fields["usage_details"] = usage_details
    if cost_details is not None:
        fields["cost_details"] = cost_details
    if completion_start_time is not None:
        fields["completion_start_time"] = _nanoseconds(completion_start_time)
    if prompt is not None:
        link = prompt_link(prompt)
        if link is not None:
            fields["prompt"] = link


def _nanoseconds(time: Any) -> str:
    if isinstance(time, datetime.datetime):
        # Exact to the microsecond, which a float of seconds is not.
        aware = time if time.tzinfo is not None else time.astimezone()
        since = aware - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        return str(((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000)
    return iso_time(time) if hasattr(time, "isoformat") else str(time)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as second:
        return f"<unreadable: {type(second).__name__}>"


class CurrentObservation(AgnosticContextManager[_C]):
    """The context in which an observation is active. It begins when the context is entered."""

    __slots__ = ("_arguments", "_observation", "_token")

    def __init__(
        self,
        client: Langfuse,
        as_type: str,
        name: str,
        parent: LangfuseObservationWrapper | RemoteParent | None,
        end_on_exit: bool,
        attributes: dict[str, Any],
    ) -> None:
        self._arguments = (client, as_type, name, parent, end_on_exit, attributes)
        self._observation: Any = None
        self._token: Token[Active | None] | None = None

    def _again(self) -> CurrentObservation[_C]:
        return CurrentObservation(*self._arguments)

    def __enter__(self) -> _C:
        client, as_type, name, parent, _, attributes = self._arguments
        outer = active.get()
        if parent is None and outer is not None:
            parent = outer.observation
        observation: _C = begin(client, as_type, name, parent, attributes_of(client, as_type, attributes))
        self._observation = observation
        self._token = active.set(Active(observation, outer.propagated if outer is not None else None))
        return observation

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        token, self._token = self._token, None
        if token is not None:
            leave(token)
        observation = self._observation
        if isinstance(error, Exception):
            observation._fail(error)
        if self._arguments[4]:
            observation.end()


def attributes_of(client: Langfuse, as_type: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """Fields of the keyword arguments of a starter."""
    get = attributes.get
    fields = fields_of(
        client,
        get("input"),
        get("output"),
        get("metadata"),
        get("version"),
        get("level"),
        get("status_message"),
    )
    if as_type in GENERATION_LIKE:
        add_generation_fields(
            fields,
            get("completion_start_time"),
            get("model"),
            get("model_parameters"),
            get("usage_details"),
            get("cost_details"),
            get("prompt"),
        )
    unknown = attributes.keys() - KNOWN_ATTRIBUTES
    if unknown:
        raise TypeError(f"unexpected keyword argument {sorted(unknown)[0]!r}")
    return fields


KNOWN_ATTRIBUTES = frozenset(
    (
        "input",
        "output",
        "metadata",
        "version",
        "level",
        "status_message",
        "completion_start_time",
        "model",
        "model_parameters",
        "usage_details",
        "cost_details",
        "prompt",
    )
)
