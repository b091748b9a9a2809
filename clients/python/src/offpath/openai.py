"""OpenAI's SDK, traced: a drop-in.

    from offpath.openai import openai, OpenAI, AsyncOpenAI      # was: from langfuse.openai import …

Importing it traces chat completions, completions, responses and embeddings of every client in the process, sync and async,
streamed or whole. A call takes Langfuse's further arguments, which OpenAI does not see: `name`, `metadata`, `trace_id`,
`parent_observation_id`, `session_id`, `user_id`, `tags`, `langfuse_prompt`, `langfuse_public_key`.

A stream stays the object that it is. What it brought is assembled while the next piece is waited for, and its observation
ends when it is read to its end, left (a `break` is its end for the record), closed, cancelled, fails or is let go.
"""

from __future__ import annotations

import asyncio
import importlib
import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import lru_cache, wraps
from typing import Any, Literal, TypeAlias

try:
    import openai
    from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
except ImportError:
    raise ModuleNotFoundError("offpath.openai needs OpenAI's SDK: pip install openai") from None

from ._api.client import get_client
from ._config import logger, skips_raw_responses
from ._recorder.values import Media

__all__ = ["AsyncAzureOpenAI", "AsyncOpenAI", "AzureOpenAI", "OpenAI", "openai"]

_Kind: TypeAlias = Literal["chat", "completion", "responses", "embedding"]
_Fields: TypeAlias = dict[str, Any]

_RESOURCES: tuple[tuple[str, str, str, _Kind], ...] = (
    ("openai.resources.chat.completions", "Completions", "create", "chat"),
    ("openai.resources.chat.completions", "Completions", "parse", "chat"),
    ("openai.resources.beta.chat.completions", "Completions", "parse", "chat"),
    ("openai.resources.completions", "Completions", "create", "completion"),
    ("openai.resources.responses", "Responses", "create", "responses"),
    ("openai.resources.responses", "Responses", "parse", "responses"),
    ("openai.resources.embeddings", "Embeddings", "create", "embedding"),
)
_OWN = (
    "name",
    "metadata",
    "trace_id",
    "parent_observation_id",
    "session_id",
    "user_id",
    "tags",
    "langfuse_prompt",
    "langfuse_public_key",
)
_PARAMETERS = (
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "n",
    "seed",
    "stop",
    "service_tier",
    "reasoning_effort",
    "verbosity",
    "dimensions",
    "encoding_format",
)
_RAW_RESPONSE_HEADER = "X-Stainless-Raw-Response"
_LEFT = "the stream was left before its end"
_NO_COST = {"input": 0, "output": 0, "total": 0}


# --- the call ---


class _Call:
    """One call: what OpenAI is given, and the observation, None when it is not recorded."""

    __slots__ = ("arguments", "generation", "kind", "parameters")

    def __init__(self, kind: _Kind, given: _Fields) -> None:
        self.kind = kind
        own = {key: given[key] for key in _OWN if key in given}
        self.arguments = {key: value for key, value in given.items() if key not in own}
        self.parameters: _Fields = {}
        self.generation: Any = None
        try:
            metadata = _plain(own.get("metadata"))
            # OpenAI keeps the metadata of completions that it stores.
            if _given(given, "store") and isinstance(metadata, Mapping):
                self.arguments["metadata"] = metadata
            if not _is_raw_stream(given):
                self._begin(own, metadata)
        except Exception as error:
            logger.warning("offpath.openai: the call is not recorded: %s", type(error).__name__)

    def _begin(self, own: _Fields, metadata: Any) -> None:
        given = self.arguments
        self.parameters = _parameters(given)
        metadata = dict(metadata) if isinstance(metadata, Mapping) else {}
        trace = {
            "session_id": _first(own.get("session_id"), metadata.pop("langfuse_session_id", None)),
            "user_id": _first(own.get("user_id"), metadata.pop("langfuse_user_id", None)),
            "tags": _first(own.get("tags"), metadata.pop("langfuse_tags", None)),
        }
        for key in ("response_format", "text_format"):
            value = _given(given, key)
            if value is not None:
                metadata[key] = _schema(value) if isinstance(value, type) else value
        is_embedding = self.kind == "embedding"
        generation = get_client(public_key=own.get("langfuse_public_key")).start_observation(
            as_type="embedding" if is_embedding else "generation",
            name=str(own.get("name") or ("OpenAI-embedding" if is_embedding else "OpenAI-generation")),
            trace_context=_trace_context(own),
            input=_input(self.kind, given),
            metadata=metadata or None,
            model=_given(given, "model"),
            model_parameters=self.parameters or None,
            prompt=own.get("langfuse_prompt"),
        )
        if generation._recorder is None:
            return
        if any(value is not None for value in trace.values()):
            generation.update_trace(**trace)
        self.generation = generation

    def failed(self, error: BaseException) -> None:
        if self.generation is not None:
            self.generation.update(**_failure(error), cost_details=_NO_COST).end()

    def answered(self, response: Any) -> Any:
        """The response, followed to its end where it is a stream."""
        if self.generation is None:
            return response
        try:
            if isinstance(response, (openai.Stream, openai.AsyncStream)):
                return _followed(response, _Recording(self))
            self._record(_whole(self.kind, _parsed(response), self.arguments))
        except Exception as error:
            logger.warning("offpath.openai: the response is not recorded: %s", type(error).__name__)
            self.generation.end()
        return response

    def _record(self, fields: _Fields) -> None:
        self.generation.update(**self.merged(fields)).end()

    def merged(self, fields: _Fields) -> _Fields:
        """With the service tier that the call got, which may not be the one asked for."""
        tier = fields.pop("service_tier", None)
        if tier is not None:
            fields["model_parameters"] = {**self.parameters, "service_tier": tier}
        return fields


def _traced(original: Callable[..., Any], kind: _Kind, is_async: bool) -> Callable[..., Any]:
    if is_async:

        @wraps(original)
        async def in_coroutine(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = _Call(kind, kwargs)
            try:
                response = await original(self, *args, **call.arguments)
            except BaseException as error:
                call.failed(error)
                raise
            return call.answered(response)

        traced: Callable[..., Any] = in_coroutine
    else:

        @wraps(original)
        def in_function(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = _Call(kind, kwargs)
            try:
                response = original(self, *args, **call.arguments)
            except BaseException as error:
                call.failed(error)
                raise
            return call.answered(response)

        traced = in_function
    traced._offpath = True  # type: ignore[attr-defined]
    return traced


def _trace_all() -> None:
    """Resources and methods that this version of OpenAI's SDK does not have are passed over."""
    for module_name, class_name, method, kind in _RESOURCES:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        for is_async in (False, True):
            # Not by the function: what checks its arguments is no coroutine function.
            resource = getattr(module, f"Async{class_name}" if is_async else class_name, None)
            original = getattr(resource, method, None)
            # Of one class under two names, once.
            if original is not None and not hasattr(original, "_offpath"):
                setattr(resource, method, _traced(original, kind, is_async))


# --- streams ---


class _Recording:
    """What a stream has brought so far."""

    __slots__ = ("_assembly", "_call", "_first_token", "_item", "_time", "is_done")

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._assembly = _ASSEMBLIES[call.kind]()
        self._first_token: datetime | None = None
        self._item: Any = None
        self._time: datetime | None = None
        self.is_done = False

    def came(self, item: Any) -> None:
        """Kept until the next is asked for: the caller has it first."""
        self._item = item
        if self._first_token is None:
            self._time = datetime.now(timezone.utc)

    def assemble(self) -> None:
        item, self._item = self._item, None
        if item is None or self.is_done:
            return
        try:
            is_token = self._assembly.add(item)
        except Exception as error:
            logger.debug("offpath.openai: a piece of a stream is not recorded: %s", type(error).__name__)
            return
        if is_token and self._first_token is None:
            self._first_token = self._time

    def finish(self, error: BaseException | None = None, *, is_whole: bool = False) -> None:
        """Ends the observation; further calls change nothing."""
        if self.is_done:
            return
        self.assemble()
        self.is_done = True
        generation = self._call.generation
        try:
            fields = self._call.merged(self._assembly.fields())
            fields["completion_start_time"] = self._first_token
            if error is not None:
                fields.update(_failure(error))
            elif not is_whole and not self._assembly.is_finished:
                fields["status_message"] = _LEFT
            generation.update(**fields)
        except Exception as failure:
            logger.warning("offpath.openai: a stream is not recorded: %s", type(failure).__name__)
        finally:
            generation.end()


class _Items:
    """The items of a sync stream."""

    __slots__ = ("_source", "recording")

    def __init__(self, source: Any, recording: _Recording) -> None:
        self._source = source
        self.recording = recording

    def __iter__(self) -> _Items:
        return self

    def __next__(self) -> Any:
        recording = self.recording
        recording.assemble()
        try:
            item = next(self._source)
        except StopIteration:
            recording.finish(is_whole=True)
            raise
        except BaseException as error:
            recording.finish(error)
            raise
        recording.came(item)
        return item

    def __del__(self) -> None:
        self.recording.finish()


class _AsyncItems:
    """The items of an async stream."""

    __slots__ = ("_source", "recording")

    def __init__(self, source: Any, recording: _Recording) -> None:
        self._source = source
        self.recording = recording

    def __aiter__(self) -> _AsyncItems:
        return self

    async def __anext__(self) -> Any:
        recording = self.recording
        recording.assemble()
        try:
            item = await self._source.__anext__()
        except StopAsyncIteration:
            recording.finish(is_whole=True)
            raise
        except BaseException as error:
            recording.finish(error)
            raise
        recording.came(item)
        return item

    def __del__(self) -> None:
        self.recording.finish()


class _Loop:
    """A `for` over a stream: let go of with it, also by a `break`."""

    __slots__ = ("_items",)

    def __init__(self, items: Any) -> None:
        self._items = items

    def __iter__(self) -> _Loop:
        return self

    def __next__(self) -> Any:
        return next(self._items)

    def __aiter__(self) -> _Loop:
        return self

    async def __anext__(self) -> Any:
        return await self._items.__anext__()

    def __del__(self) -> None:
        self._items.recording.finish()


class _Stream(openai.Stream[Any]):  # type: ignore[misc]
    """A stream that says when it is left or closed."""

    def __iter__(self) -> Any:
        return _Loop(self._iterator)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._iterator.recording.finish()


class _AsyncStream(openai.AsyncStream[Any]):  # type: ignore[misc]
    """A stream that says when it is left or closed."""

    def __aiter__(self) -> Any:
        return _Loop(self._iterator)

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            self._iterator.recording.finish()


def _followed(stream: Any, recording: _Recording) -> Any:
    """The same object, so that all its methods stay. Its class is one that also knows its own end."""
    is_async = isinstance(stream, openai.AsyncStream)
    stream._iterator = (_AsyncItems if is_async else _Items)(stream._iterator, recording)
    if type(stream) is openai.Stream:
        stream.__class__ = _Stream
    elif type(stream) is openai.AsyncStream:
        stream.__class__ = _AsyncStream
    return stream


class _Message:
    """One choice of a streamed chat completion."""

    __slots__ = ("role", "texts", "tool_calls")

    def __init__(self) -> None:
        self.role: str | None = None
        self.texts: dict[str, list[str]] = {}
        #: By index: id, type, name and arguments so far.
        self.tool_calls: dict[int, _Fields] = {}

    def add(self, delta: Any) -> bool:
        """Whether it brings a token, and not the role alone."""
        # Asked for its dictionaries, since a field that it does not have costs pydantic a µs.
        fields = delta.__dict__
        if delta.model_extra:
            fields = {**fields, **delta.model_extra}
        if fields.get("role") is not None:
            self.role = fields["role"]
        is_token = False
        for key in _TEXTS:
            text = fields.get(key)
            if text and isinstance(text, str):
                self.texts.setdefault(key, []).append(text)
                is_token = True
        for piece in fields.get("tool_calls") or ():
            index = piece.index if isinstance(piece.index, int) else max(0, len(self.tool_calls) - 1)
            self._add_call(index, piece.id, getattr(piece, "type", None), piece.function)
            is_token = True
        function_call = fields.get("function_call")
        if function_call is not None:
            self._add_call(_FUNCTION_CALL, None, None, function_call)
            is_token = True
        return is_token

    def _add_call(self, index: int, identity: str | None, kind: str | None, function: Any) -> None:
        call = self.tool_calls.setdefault(index, {"name": "", "arguments": []})
        if identity is not None:
            call["id"] = identity
        if kind is not None:
            call["type"] = kind
        if function is not None:
            call["name"] = call["name"] or function.name or ""
            call["arguments"].append(function.arguments or "")

    def value(self) -> _Fields:
        message: _Fields = {"role": self.role or "assistant"}
        calls = []
        for index in sorted(self.tool_calls):
            call = self.tool_calls[index]
            function = {"name": call["name"], "arguments": "".join(call["arguments"])}
            if index == _FUNCTION_CALL:
                message["function_call"] = function
            else:
                kept: _Fields = {key: call[key] for key in ("id", "type") if key in call}
                calls.append({**kept, "function": function})
        if calls:
            message["tool_calls"] = calls
        for key, pieces in self.texts.items():
            message[key] = "".join(pieces)
        return message


_TEXTS = ("content", "reasoning", "reasoning_content", "refusal")
_FUNCTION_CALL = -1


class _ChatAssembly:
    def __init__(self) -> None:
        self._messages: dict[int, _Message] = {}
        self._fields: _Fields = {}
        self.is_finished = False

    def add(self, chunk: Any) -> bool:
        _take_common(self._fields, chunk)
        is_token = False
        for choice in chunk.choices or ():
            message = self._messages.get(choice.index)
            if message is None:
                message = self._messages[choice.index] = _Message()
            if choice.delta is not None:
                is_token = message.add(choice.delta) or is_token
            if choice.finish_reason is not None:
                self._fields["metadata"] = {"finish_reason": choice.finish_reason}
                self.is_finished = True
        return is_token

    def fields(self) -> _Fields:
        messages = [self._messages[index].value() for index in sorted(self._messages)]
        output: Any = messages
        if len(messages) <= 1:
            message = messages[0] if messages else {}
            # As Langfuse has it: an answer of nothing but text is that text.
            output = message.get("content") if message.keys() <= {"role", "content"} else message
        return {**self._fields, "output": output}


class _CompletionAssembly:
    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._fields: _Fields = {}
        self.is_finished = False

    def add(self, chunk: Any) -> bool:
        _take_common(self._fields, chunk)
        is_token = False
        for choice in chunk.choices or ():
            if choice.text:
                self._texts.setdefault(choice.index, []).append(choice.text)
                is_token = True
            if choice.finish_reason is not None:
                self._fields["metadata"] = {"finish_reason": choice.finish_reason}
                self.is_finished = True
        return is_token

    def fields(self) -> _Fields:
        texts = ["".join(self._texts[index]) for index in sorted(self._texts)]
        return {**self._fields, "output": texts[0] if len(texts) == 1 else texts or None}


class _ResponsesAssembly:
    def __init__(self) -> None:
        self._response: Any = None
        #: Of a response whose end does not come.
        self._pieces: list[str] = []
        self._error: str | None = None
        self.is_finished = False

    def add(self, event: Any) -> bool:
        kind = event.type
        response = getattr(event, "response", None)
        if response is not None:
            self._response = response
            self.is_finished = kind in ("response.completed", "response.failed", "response.incomplete")
        elif kind == "error":
            self._error = str(getattr(event, "message", None) or kind)
        elif kind == "response.output_text.delta":
            self._pieces.append(event.delta)
        return str(kind).endswith(".delta")

    def fields(self) -> _Fields:
        fields = {} if self._response is None else _response_fields(self._response)
        if not self.is_finished and self._pieces:
            fields["output"] = "".join(self._pieces)
        if self._error is not None:
            fields["level"], fields["status_message"] = "ERROR", self._error
        return fields


_ASSEMBLIES: dict[_Kind, Callable[[], Any]] = {
    "chat": _ChatAssembly,
    "completion": _CompletionAssembly,
    "responses": _ResponsesAssembly,
}


# --- requests ---


def _given(arguments: Mapping[str, Any], key: str) -> Any:
    """None for what is left out, which OpenAI marks with objects of its own."""
    value: Any = arguments.get(key)
    return None if type(value).__name__ in ("NotGiven", "Omit") else value


def _input(kind: _Kind, arguments: _Fields) -> Any:
    if kind == "completion":
        return _given(arguments, "prompt")
    if kind == "embedding":
        return _given(arguments, "input")
    if kind == "responses":
        return _responses_input(arguments)
    tools = _all_given(arguments, "functions", "function_call", "tools")
    messages = _with_audio(_given(arguments, "messages"))
    return {**tools, "messages": messages} if tools else messages


def _responses_input(arguments: _Fields) -> Any:
    instructions, given = _given(arguments, "instructions"), _with_audio(_given(arguments, "input"))
    value = given
    if instructions is not None:
        system = {"role": "system", "content": instructions}
        if isinstance(given, str):
            value = [system, {"role": "user", "content": given}]
        elif isinstance(given, list):
            value = [system, *given]
        else:
            value = dict[str, Any](instructions=instructions)
            if given is not None:
                value["input"] = given
    tools = _all_given(arguments, "tools", "tool_choice", "parallel_tool_calls")
    if not tools:
        return value
    if isinstance(value, dict):
        return {**value, **tools}
    return tools if value is None else {"input": value, **tools}


def _with_audio(messages: Any) -> Any:
    """Messages whose `input_audio`, which is base64 without a type, is media; without any, the same object."""
    if type(messages) is not list:
        return messages
    found: list[Any] = []
    for message in messages:
        content = message.get("content") if type(message) is dict else None
        if type(content) is list and any(map(_is_audio, content)):
            message = {
                **message,
                "content": [_audio_part(each) if _is_audio(each) else each for each in content],
            }
        found.append(message)
    return found if any(map(operator.is_not, found, messages)) else messages


def _is_audio(part: Any) -> bool:
    return type(part) is dict and part.get("type") == "input_audio" and type(part.get("input_audio")) is dict


def _audio_part(part: _Fields) -> _Fields:
    audio = part["input_audio"]
    return {**part, "input_audio": _audio(audio, audio.get("format"))}


def _audio(audio: _Fields, form: Any) -> _Fields:
    """OpenAI's samples alone, `pcm16`, have 24 000 a second."""
    data = audio.get("data")
    if type(data) is not str:
        return audio
    content_type = "audio/pcm;rate=24000" if form == "pcm16" else f"audio/{form or 'wav'}"
    return {**audio, "data": Media(content_type, data, "base64_data_uri")}


def _all_given(arguments: _Fields, *keys: str) -> _Fields:
    found = {key: _given(arguments, key) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def _parameters(arguments: _Fields) -> _Fields:
    """What was set, and no defaults that a server may not share; vLLM's own ones are in `extra_body`."""
    parameters = _all_given(arguments, *_PARAMETERS)
    extra = arguments.get("extra_body")
    if isinstance(extra, Mapping):
        scalars = {key: value for key, value in extra.items() if isinstance(value, (int, float, str))}
        parameters = {**scalars, **parameters}
    reasoning, text = _given(arguments, "reasoning"), _given(arguments, "text")
    nested = {
        "reasoning_effort": _get(reasoning, "effort"),
        "reasoning_summary": _get(reasoning, "summary"),
        "verbosity": _get(text, "verbosity"),
    }
    return {**parameters, **{key: value for key, value in nested.items() if value is not None}}


def _trace_context(own: _Fields) -> _Fields | None:
    trace_id, parent = own.get("trace_id"), own.get("parent_observation_id")
    if trace_id is None:
        if parent is not None:
            logger.warning("offpath.openai: parent_observation_id needs trace_id; it is ignored")
        return None
    return {"trace_id": trace_id, "parent_span_id": parent}


def _is_raw_stream(arguments: _Fields) -> bool:
    """A raw stream is the caller's to read; with LANGFUSE_OPENAI_SKIP_RAW_RESPONSES all raw responses are left out."""
    headers = _given(arguments, "extra_headers")
    mode = headers.get(_RAW_RESPONSE_HEADER) if isinstance(headers, Mapping) else None
    if mode is None:
        return False
    return mode == "stream" or _given(arguments, "stream") is True or skips_raw_responses()


@lru_cache(maxsize=256)
def _schema(model: Any) -> Any:
    return model.model_json_schema() if hasattr(model, "model_json_schema") else str(model)


# --- responses ---


def _parsed(response: Any) -> Any:
    """Of a raw response, what it holds; parsing it is remembered there."""
    if type(response).__name__ in ("LegacyAPIResponse", "APIResponse"):
        return response.parse()
    return response


def _whole(kind: _Kind, response: Any, arguments: _Fields) -> _Fields:
    if response is None:
        return {"output": "<NoneType response returned from OpenAI>"}
    if kind == "responses":
        return _response_fields(response)
    fields: _Fields = {}
    _take_common(fields, response)
    if kind == "embedding":
        data = response.data or []
        if data:
            vector = data[0].embedding
            fields["output"] = {
                "dimensions": len(vector) if isinstance(vector, list) else None,
                "count": len(data),
            }
        return fields
    choices = response.choices or []
    if kind == "chat":
        audio_format = _get(_given(arguments, "audio"), "format")
        outputs: list[Any] = [_message_value(choice.message, audio_format) for choice in choices]
    else:
        outputs = [choice.text for choice in choices]
    if outputs:
        fields["output"] = outputs[0] if len(outputs) == 1 else outputs
        fields["metadata"] = {"finish_reason": choices[0].finish_reason}
    return fields


def _message_value(message: Any, audio_format: Any) -> _Fields:
    value = {"role": message.role}
    for key in ("function_call", "tool_calls", "audio", "refusal", "reasoning", "reasoning_content"):
        part = getattr(message, key, None)
        if part is not None:
            value[key] = _audio(_plain(part), audio_format) if key == "audio" else _plain(part)
    value["content"] = message.content
    return value


def _response_fields(response: Any) -> _Fields:
    fields: _Fields = {}
    _take_common(fields, response)
    output = _plain(response.output)
    if isinstance(output, list):
        output = output[0] if len(output) == 1 else output or None
    fields["output"] = output
    status = getattr(response, "status", None)
    fields["metadata"] = {"response_id": response.id, "status": status}
    error = getattr(response, "error", None)
    if error is not None or status == "failed":
        fields["level"], fields["status_message"] = "ERROR", str(_get(error, "message") or status)
    elif status == "incomplete":
        reason = _get(getattr(response, "incomplete_details", None), "reason")
        fields["level"], fields["status_message"] = "WARNING", f"incomplete: {reason}"
    return fields


def _take_common(fields: _Fields, response: Any) -> None:
    """Model, service tier, usage and cost, which a chunk of a stream has like a whole response."""
    given = response.__dict__
    if given.get("model") and "model" not in fields:
        fields["model"] = given["model"]
    tier = given.get("service_tier")
    if tier is not None:
        fields["service_tier"] = tier
    usage = given.get("usage")
    if usage is not None:
        fields["usage_details"] = _usage(usage)
        # OpenRouter's.
        cost = getattr(usage, "cost", None)
        if isinstance(cost, float):
            fields["cost_details"] = {"total": cost}


def _usage(usage: Any) -> _Fields:
    """OpenAI's own names, which Langfuse knows, details (cached, reasoning …) included."""
    counts = _without_none(_plain(usage))
    if counts.keys() == {"prompt_tokens", "total_tokens"}:
        # An embedding's.
        return {"input": counts["prompt_tokens"]}
    return {key: _without_none(value) if isinstance(value, dict) else value for key, value in counts.items()}


def _without_none(values: Mapping[str, Any]) -> _Fields:
    return {key: value for key, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    """OpenAI's models as dictionaries."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    dump = getattr(value, "model_dump", None)
    return dump(warnings=False) if callable(dump) else value


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _failure(error: BaseException) -> _Fields:
    """A call that was cancelled is its caller's doing."""
    if isinstance(error, asyncio.CancelledError):
        return {"level": "WARNING", "status_message": "cancelled"}
    try:
        message = str(error) or type(error).__name__
    except Exception:
        message = type(error).__name__
    return {"level": "ERROR", "status_message": message}


_trace_all()
