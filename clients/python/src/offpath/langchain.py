"""LangChain's and LangGraph's runs as observations.

    from offpath.langchain import CallbackHandler      # was: from langfuse.langchain import …

    chain.invoke(input, config={"callbacks": [CallbackHandler()]})

One handler may serve all calls of a process. `metadata` of the call may have `langfuse_session_id`, `langfuse_user_id`,
`langfuse_tags`, `langfuse_trace_name` (of the trace) and `langfuse_prompt` (of the next generation). What LangGraph resumes
goes on in the trace that was interrupted, where the same handler serves both.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

try:
    from langchain_core.callbacks import BaseCallbackHandler
except ImportError:
    raise ModuleNotFoundError("offpath.langchain needs LangChain: pip install langchain-core") from None

from ._api.client import get_client
from ._api.context import Active, active
from ._api.observation import LangfuseObservationWrapper, SpanLevel, TraceContext
from ._api.propagate import Propagated, checked
from ._config import logger

__all__ = ["CallbackHandler"]

#: LangGraph's: what ends a run as agreed, an interrupt or a handoff; and the interrupt, which waits for an answer.
_CONTROL_FLOW = "GraphBubbleUp"
_INTERRUPT = "GraphInterrupt"
_MAX_INTERRUPTED = 1024
_HIDDEN = "langsmith:hidden"
_TRACE_KEYS = ("langfuse_session_id", "langfuse_user_id", "langfuse_tags", "langfuse_trace_name")
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
_MODEL_PARAMETERS = (
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "seed",
    "request_timeout",
    "decoding_method",
    "min_new_tokens",
    "max_new_tokens",
    "stop_sequences",
)


class _RunActive(Active):
    """The active run. Once it has ended, what was active before is: LangChain ends asynchronous runs in tasks of their own,
    where the caller's context can't be set back."""

    __slots__ = ("_observation", "_outer", "_propagated")
    _observation: LangfuseObservationWrapper
    _outer: Active | None
    _propagated: Propagated | None

    def __init__(
        self, observation: LangfuseObservationWrapper, propagated: Propagated | None, outer: Active | None
    ) -> None:
        # An ended one would keep all before it alive.
        while isinstance(outer, _RunActive) and outer._observation._ended:
            outer = outer._outer
        self._observation = observation
        self._propagated = propagated
        self._outer = outer

    @property
    def observation(self) -> LangfuseObservationWrapper | None:  # type: ignore[override]
        if not self._observation._ended:
            return self._observation
        return None if self._outer is None else self._outer.observation

    @property
    def propagated(self) -> Propagated | None:  # type: ignore[override]
        if not self._observation._ended:
            return self._propagated
        return None if self._outer is None else self._outer.propagated


class _Run:
    __slots__ = (
        "active",
        "has_token",
        "is_interrupted",
        "observation",
        "parent_id",
        "prompt",
        "root",
        "thread_id",
    )

    def __init__(
        self,
        observation: Any,
        parent_id: UUID | None,
        root: _Run | None,
        context: _RunActive,
        thread_id: str | None,
    ) -> None:
        self.observation = observation
        self.parent_id = parent_id
        self.root = root
        self.active = context
        self.thread_id = thread_id
        self.is_interrupted = False
        #: For the next generation within it.
        self.prompt: Any = None
        self.has_token = False


class CallbackHandler(BaseCallbackHandler):  # type: ignore[misc]
    """Records chains, models, tools and retrievers, each under the run that called it.

    `trace_context`: `{"trace_id", "parent_span_id"}` under which runs without a parent begin; else the active observation.
    `last_trace_id`: of the run that began last.
    """

    #: In asynchronous code as well: a thread for each callback costs more than the callback, and would lose the order.
    run_inline = True

    def __init__(self, *, public_key: str | None = None, trace_context: TraceContext | None = None) -> None:
        self._client = get_client(public_key=public_key)
        self._trace_context = trace_context
        self._runs: dict[UUID, _Run] = {}
        #: Where LangGraph's threads were interrupted, the newest last.
        self._interrupted: OrderedDict[str, TraceContext] = OrderedDict()
        self.last_trace_id: str | None = None

    # --- starts ---

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **given: Any
    ) -> None:
        name = _name(serialized, given)
        path = serialized.get("id") if isinstance(serialized, Mapping) else None
        is_agent = any("agent" in str(part).lower() for part in (*(path or ()), name))
        self._start("agent" if is_agent else "chain", name, inputs, run_id, parent_run_id, given)
        prompt = (given.get("metadata") or {}).get("langfuse_prompt")
        parent = self._runs.get(parent_run_id) if parent_run_id is not None else None
        if prompt is not None and parent is not None:
            parent.prompt = prompt

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        inputs: Any = None,
        **given: Any,
    ) -> None:
        value = input_str if inputs is None else inputs
        self._start("tool", _name(serialized, given), value, run_id, parent_run_id, given)

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **given: Any
    ) -> None:
        self._start("retriever", _name(serialized, given), query, run_id, parent_run_id, given)

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **given: Any
    ) -> None:
        value = [_message(message) for batch in messages for message in batch]
        tools = (given.get("invocation_params") or {}).get("tools")
        if isinstance(tools, list):
            value += [{"role": "tool", "content": _tool(tool)} for tool in tools]
        self._start_generation(serialized, value, run_id, parent_run_id, given)

    def on_llm_start(
        self,
        serialized: Any,
        prompts: Sequence[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **given: Any,
    ) -> None:
        value = prompts[0] if len(prompts) == 1 else prompts
        self._start_generation(serialized, value, run_id, parent_run_id, given)

    def _start_generation(
        self, serialized: Any, value: Any, run_id: UUID, parent_id: UUID | None, given: dict[str, Any]
    ) -> None:
        parameters = given.get("invocation_params") or {}
        prompt = self._prompt_of(parent_id) or (given.get("metadata") or {}).get("langfuse_prompt")
        self._start(
            "generation",
            _name(serialized, given),
            value,
            run_id,
            parent_id,
            given,
            model=_model(serialized, parameters, given.get("metadata") or {}),
            model_parameters={
                key: parameters[key] for key in _MODEL_PARAMETERS if parameters.get(key) is not None
            }
            or None,
            prompt=prompt,
        )

    def _prompt_of(self, run_id: UUID | None) -> Any:
        """The prompt that was formatted last in the runs around; it belongs to one generation."""
        while run_id is not None and run_id in self._runs:
            run = self._runs[run_id]
            if run.prompt is not None:
                prompt, run.prompt = run.prompt, None
                return prompt
            run_id = run.parent_id
        return None

    def _start(
        self,
        as_type: Any,
        name: str,
        value: Any,
        run_id: UUID,
        parent_id: UUID | None,
        given: dict[str, Any],
        **attributes: Any,
    ) -> None:
        metadata, tags = given.get("metadata") or {}, given.get("tags") or []
        is_root = parent_id is None
        outer = active.get()
        propagated = outer.propagated if outer is not None else None
        if is_root:
            propagated = _propagated(propagated, outer, metadata, tags)
        attributes = {
            "name": name,
            "as_type": as_type,
            "input": value,
            "metadata": _metadata(metadata, tags, is_root),
            "level": "DEBUG" if _HIDDEN in tags else None,
            **attributes,
        }
        parent = self._runs.get(parent_id) if parent_id is not None else None
        thread_id = str(metadata["thread_id"]) if is_root and "thread_id" in metadata else None
        # What begins has what is propagated.
        token = active.set(Active(outer.observation if outer is not None else None, propagated))
        try:
            if parent is not None:
                observation = parent.observation.start_observation(**attributes)
            else:
                trace_context = self._trace_context or self._resumed(value, thread_id)
                observation = self._client.start_observation(trace_context=trace_context, **attributes)
        finally:
            active.reset(token)
        context = _RunActive(observation, propagated, outer)
        active.set(context)
        root = None if parent is None else parent.root or parent
        self._runs[run_id] = _Run(observation, parent_id, root, context, thread_id)
        self.last_trace_id = observation.trace_id

    def _resumed(self, value: Any, thread_id: str | None) -> TraceContext | None:
        """Where the thread was interrupted that LangGraph's `Command(resume=…)` goes on with."""
        context = active.get()
        if thread_id is None or (context is not None and context.observation is not None):
            return None
        if type(value).__name__ != "Command" or getattr(value, "resume", None) is None:
            return None
        return self._interrupted.pop(thread_id, None)

    # --- in between ---

    def on_llm_new_token(self, token: str, *, run_id: UUID, chunk: Any = None, **_: Any) -> None:
        run = self._runs.get(run_id)
        # The first is enough, and models that stream begin with an empty one.
        if run is not None and not run.has_token and (token or _has_content(chunk)):
            run.has_token = True
            run.observation.update(completion_start_time=datetime.now(timezone.utc))

    def on_stream_event(self, event: Any, *, run_id: UUID, **_: Any) -> None:
        run = self._runs.get(run_id)
        if run is not None and not run.has_token and event.get("event") == "content-block-delta":
            run.has_token = True
            run.observation.update(completion_start_time=datetime.now(timezone.utc))

    def on_agent_action(self, action: Any, *, run_id: UUID, **given: Any) -> None:
        self._update_agent(run_id, action, given)

    def on_agent_finish(self, finish: Any, *, run_id: UUID, **given: Any) -> None:
        # The run itself ends with its chain.
        self._update_agent(run_id, finish, given)

    def _update_agent(self, run_id: UUID, output: Any, given: Mapping[str, Any]) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            run.observation._record({"type": "agent"})
            run.observation.update(output=output, input=given.get("inputs"))

    # --- ends ---

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **given: Any) -> None:
        # The input of a stream is known at its end.
        self._end(run_id, output=outputs, input=given.get("inputs"))

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **_: Any) -> None:
        self._end(run_id, output=documents)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        failed = getattr(output, "status", None) == "error"
        level: SpanLevel | None = "ERROR" if failed else None
        self._end(
            run_id,
            output=output,
            level=level,
            status_message=str(getattr(output, "content", "")) if failed else None,
        )

    def on_llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        try:
            attributes = _answer(response)
        except Exception as error:
            logger.warning("offpath.langchain: an answer can't be read: %s", type(error).__name__)
            attributes = {"output": response}
        self._end(run_id, **attributes)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **given: Any) -> None:
        self._fail(run_id, error, input=given.get("inputs"))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._fail(run_id, error, cost_details={"total": 0})

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._fail(run_id, error)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._fail(run_id, error)

    def _fail(self, run_id: UUID, error: BaseException, **attributes: Any) -> None:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        is_control_flow = _CONTROL_FLOW in kinds
        run = self._runs.get(run_id)
        if run is not None and _INTERRUPT in kinds:
            (run.root or run).is_interrupted = True
        self._end(
            run_id,
            level="DEFAULT" if is_control_flow else "ERROR",
            status_message=str(error) or type(error).__name__,
            **attributes,
        )

    def _end(self, run_id: UUID, **attributes: Any) -> None:
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        if run.is_interrupted and run.thread_id is not None:
            self._interrupted[run.thread_id] = {
                "trace_id": run.observation.trace_id,
                "parent_span_id": run.observation.id,
            }
            while len(self._interrupted) > _MAX_INTERRUPTED:
                self._interrupted.popitem(last=False)
        if active.get() is run.active:
            active.set(run.active._outer)
        try:
            run.observation.update(**attributes)
        finally:
            run.observation.end()


# --- what LangChain gives ---


def _name(serialized: Any, given: Mapping[str, Any]) -> str:
    if given.get("name") is not None:
        return str(given["name"])
    if isinstance(serialized, Mapping):
        if serialized.get("name"):
            return str(serialized["name"])
        if serialized.get("id"):
            return str(serialized["id"][-1])
    return "<unknown>"


def _metadata(metadata: Mapping[str, Any], tags: Sequence[str], is_root: bool) -> dict[str, Any] | None:
    hidden = ("langfuse_prompt", *_TRACE_KEYS)
    kept: dict[str, Any] = {"tags": tags} if tags else {}
    kept |= {key: value for key, value in metadata.items() if key not in hidden}
    if is_root:
        kept["is_langchain_root"] = True
    return kept or None


def _propagated(
    before: Propagated | None, outer: Active | None, metadata: Mapping[str, Any], tags: Sequence[str]
) -> Propagated | None:
    """Trace attributes for a run without a parent and all within, and for the observation around it."""

    def text(key: str) -> str | None:
        value = metadata.get(key)
        return value if isinstance(value, str) else None

    named = metadata.get("langfuse_tags")
    all_tags = [str(tag) for tag in (*(named if isinstance(named, list) else ()), *tags)]
    hidden = ("langfuse_prompt", *_TRACE_KEYS)
    added = checked(
        text("langfuse_user_id"),
        text("langfuse_session_id"),
        # LangChain's own, of a model, are not the trace's.
        {key: value for key, value in metadata.items() if key not in hidden and not key.startswith("ls_")},
        None,
        all_tags or None,
        text("langfuse_trace_name"),
        None,
        None,
    )
    if not added.fields:
        return before
    if outer is not None and outer.observation is not None:
        outer.observation._record(dict(added.fields))
    return added if before is None else before.merged(added)


def _message(message: Any) -> Any:
    """A message in OpenAI's form, which Langfuse shows as a chat."""
    kind = getattr(message, "type", None)
    if kind is None:
        return message
    role = getattr(message, "role", None) or _ROLES.get(kind, str(kind).removesuffix("MessageChunk").lower())
    value: dict[str, Any] = {"role": role, "content": message.content}
    for key in ("tool_calls", "invalid_tool_calls", "tool_call_id", "name", "additional_kwargs"):
        part = getattr(message, key, None)
        if part:
            value[key] = part
    return value


def _has_content(chunk: Any) -> bool:
    """Whether a chunk brings more than text: a tool call, most likely."""
    message = getattr(chunk, "message", None)
    return bool(getattr(message, "tool_call_chunks", None) or getattr(message, "content", None))


def _tool(tool: Any) -> Any:
    if isinstance(tool, Mapping):
        return tool
    try:
        from langchain_core.utils.function_calling import convert_to_openai_tool

        return convert_to_openai_tool(tool)
    except Exception:
        return tool


def _model(serialized: Any, parameters: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    """As the model says of itself; else where its integration keeps it."""
    built = serialized.get("kwargs") if isinstance(serialized, Mapping) else None
    built = built if isinstance(built, Mapping) else {}
    found = (
        metadata.get("ls_model_name"),
        *(
            parameters.get(key)
            for key in ("model_name", "model", "model_id", "azure_deployment", "model_path")
        ),
        *(built.get(key) for key in ("model_name", "model", "model_id", "deployment_name")),
    )
    return next((str(name) for name in found if name), None)


def _answer(response: Any) -> dict[str, Any]:
    generation = response.generations[-1][-1]
    message = getattr(generation, "message", None)
    told = getattr(message, "response_metadata", None) or {}
    answered = response.llm_output or {}
    return {
        "output": generation.text if message is None else _message(message),
        "usage_details": _usage(response, generation, message, told),
        "model": answered.get("model_name") or told.get("model_name") or told.get("model"),
    }


def _usage(response: Any, generation: Any, message: Any, told: Mapping[str, Any]) -> dict[str, int] | None:
    info = getattr(generation, "generation_info", None) or {}
    answered = response.llm_output or {}
    found = (
        getattr(message, "usage_metadata", None),
        info.get("usage_metadata"),
        told.get("usage"),
        told.get("token_usage"),
        told.get("amazon-bedrock-invocationMetrics"),
        answered.get("token_usage"),
        answered.get("usage"),
    )
    usage = next((each for each in found if each), None)
    return None if usage is None else _counts(usage)


_COUNTS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "total_tokens": "total",
    "prompt_tokens": "input",
    "completion_tokens": "output",
    "prompt_token_count": "input",
    "candidates_token_count": "output",
    "total_token_count": "total",
    "inputTokenCount": "input",
    "outputTokenCount": "output",
    "totalTokenCount": "total",
    "input_token_count": "input",
    "generated_token_count": "output",
}
_DETAILS = {
    "input_token_details": "input",
    "prompt_tokens_details": "input",
    "output_token_details": "output",
    "completion_tokens_details": "output",
}


def _counts(usage: Any) -> dict[str, int] | None:
    """Tokens by Langfuse's names. Details (cached, reasoning …) stand beside the rest of their sum."""
    given = usage if isinstance(usage, Mapping) else vars(usage)
    counts: dict[str, int] = {}
    for key, value in given.items():
        # Bedrock's streams bring lists.
        count = sum(value) if isinstance(value, list) and key in _COUNTS else value
        if isinstance(count, int):
            counts[_COUNTS.get(str(key), str(key))] = count
    for key, side in _DETAILS.items():
        details = given.get(key)
        for name, count in details.items() if isinstance(details, Mapping) else ():
            if not isinstance(count, int):
                continue
            counts[f"{side}_{name}"] = count
            # Tiers are no parts of the sum.
            if side in counts and name.partition("_")[0] != "priority":
                counts[side] = max(0, counts[side] - count)
    return counts or None
