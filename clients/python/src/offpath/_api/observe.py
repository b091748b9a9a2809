"""The decorator: a function's call as an observation, up to the real end of what it returns."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, get_args, overload

from .._config import logger
from .client import current_public_key, get_client
from .context import Active, active, leave
from .observation import (
    LangfuseObservationWrapper,
    ObservationTypeLiteralNoEvent,
    RemoteParent,
    begin,
    fields_of,
)

F = TypeVar("F", bound=Callable[..., Any])
_TYPES = get_args(ObservationTypeLiteralNoEvent)
#: asgiref's markcoroutinefunction on Python < 3.12, which inspect does not see.
_COROUTINE_MARKER = getattr(asyncio.coroutines, "_is_coroutine", None)


@overload
def observe(func: F) -> F: ...
@overload
def observe(
    func: None = None,
    *,
    name: str | None = None,
    as_type: ObservationTypeLiteralNoEvent | None = None,
    capture_input: bool | None = None,
    capture_output: bool | None = None,
    transform_to_string: Callable[[Iterable[Any]], str] | None = None,
) -> Callable[[F], F]: ...


def observe(
    func: F | None = None,
    *,
    name: str | None = None,
    as_type: ObservationTypeLiteralNoEvent | None = None,
    capture_input: bool | None = None,
    capture_output: bool | None = None,
    transform_to_string: Callable[[Iterable[Any]], str] | None = None,
) -> Any:
    """Makes each call of a function an observation: with its arguments as input and its result as output.

    It ends when the result is complete: a coroutine awaited, a generator or a Starlette `StreamingResponse` read to its
    end, closed, cancelled or let go. What generators yield is the output: joined when it is text, or by
    `transform_to_string`. The caller may pass `langfuse_trace_id`, `langfuse_parent_observation_id` and
    `langfuse_public_key`; the function does not see them.
    """
    if as_type is not None and as_type not in _TYPES:
        logger.warning("observe: unknown type %r; it becomes a span (known: %s)", as_type, ", ".join(_TYPES))
        as_type = "span"
    capturing = os.environ.get("LANGFUSE_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED", "true").lower() not in (
        "false",
        "0",
    )
    captures_input = capturing if capture_input is None else capture_input
    captures_output = capturing if capture_output is None else capture_output

    def decorate(fn: F) -> F:
        return _decorated(fn, name, as_type or "span", captures_input, captures_output, transform_to_string)

    return decorate if func is None else decorate(func)


def _decorated(
    fn: F,
    given_name: str | None,
    as_type: str,
    captures_input: bool,
    captures_output: bool,
    transform: Callable[[Iterable[Any]], str] | None,
) -> F:
    name = str(given_name or getattr(fn, "__name__", type(fn).__name__))
    skipped = 1 if _is_method(fn) else 0

    def open_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        return _Call(fn, name, as_type, skipped, captures_input, captures_output, transform, args, kwargs)

    if _is_coroutine_function(fn):

        @wraps(fn)
        async def in_coroutine(*args: Any, **kwargs: Any) -> Any:
            call = open_call(args, kwargs)
            try:
                result = await fn(*args, **kwargs)
            except (Exception, asyncio.CancelledError) as error:
                call.failed(error)
                raise
            finally:
                call.leave()
            return call.returned(result)

        return in_coroutine  # type: ignore[return-value]

    @wraps(fn)
    def in_function(*args: Any, **kwargs: Any) -> Any:
        call = open_call(args, kwargs)
        try:
            result = fn(*args, **kwargs)
        except (Exception, asyncio.CancelledError) as error:
            call.failed(error)
            raise
        finally:
            call.leave()
        return call.returned(result)

    return in_function  # type: ignore[return-value]


class _Call:
    """One call: its observation, active until `leave`."""

    __slots__ = ("_captures", "_context", "_key_token", "_observation", "_token", "_transform")

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str,
        as_type: str,
        skipped: int,
        captures_input: bool,
        captures_output: bool,
        transform: Callable[[Iterable[Any]], str] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        trace_id = parent_id = key = None
        if kwargs:
            trace_id = kwargs.pop("langfuse_trace_id", None)
            parent_id = kwargs.pop("langfuse_parent_observation_id", None)
            key = kwargs.pop("langfuse_public_key", None)
        self._key_token = current_public_key.set(key) if key is not None else None
        client = get_client()
        parent: LangfuseObservationWrapper | RemoteParent | None
        outer = active.get()
        if trace_id:
            parent = client._parent_of({"trace_id": trace_id, "parent_span_id": parent_id})
        else:
            parent = outer.observation if outer is not None else None
        input = {"args": args[skipped:], "kwargs": kwargs} if captures_input else None
        fields = fields_of(client, input, None, None, None, None, None)
        self._observation: LangfuseObservationWrapper = begin(client, as_type, name, parent, fields)
        self._captures = captures_output
        self._transform = transform
        self._token = active.set(Active(self._observation, outer.propagated if outer is not None else None))
        self._context = contextvars.copy_context() if _may_stream(fn) else None

    def leave(self) -> None:
        leave(self._token)
        if self._key_token is not None:
            try:
                current_public_key.reset(self._key_token)
            except ValueError:
                pass

    def failed(self, error: BaseException) -> None:
        _end_with_error(self._observation, error)

    def returned(self, result: Any) -> Any:
        if inspect.isgenerator(result):
            return _SyncStream(result, self._within(), self._observation, self._captures, self._transform)
        if inspect.isasyncgen(result):
            return _AsyncStream(result, self._within(), self._observation, self._captures, self._transform)
        body: Any = (
            getattr(result, "body_iterator", None) if type(result).__name__ == "StreamingResponse" else None
        )
        if hasattr(body, "__aiter__"):
            result.body_iterator = _AsyncStream(
                aiter(body), self._within(), self._observation, self._captures, self._transform
            )
            return result
        if self._captures:
            self._observation.update(output=result)
        self._observation.end()
        return result

    def _within(self) -> contextvars.Context:
        """The context of the call, for the body of a generator."""
        context = self._context or contextvars.copy_context()
        context.run(active.set, Active(self._observation, context.run(_propagated)))
        return context


def _propagated() -> Any:
    context = active.get()
    return context.propagated if context is not None else None


def _may_stream(fn: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)


def _end_with_error(observation: LangfuseObservationWrapper, error: BaseException) -> None:
    try:
        message = str(error) or type(error).__name__
    except Exception:
        message = type(error).__name__
    observation.update(level="ERROR", status_message=message).end()


class _Stream:
    """What a generator has yielded, until it ends in one of its ways."""

    __slots__ = ("_captures", "_context", "_done", "_items", "_observation", "_source", "_transform")

    def __init__(
        self,
        source: Any,
        context: contextvars.Context,
        observation: LangfuseObservationWrapper,
        captures: bool,
        transform: Callable[[Iterable[Any]], str] | None,
    ) -> None:
        self._source = source
        self._context = context
        self._observation = observation
        self._captures = captures
        self._transform = transform
        self._items: list[Any] = []
        self._done = False

    def _take(self, item: Any) -> Any:
        if self._captures:
            self._items.append(item)
        return item

    def _complete(self) -> None:
        if self._done:
            return
        self._done = True
        if self._captures:
            self._observation.update(output=self._output())
        self._observation.end()

    def _output(self) -> Any:
        items = self._items
        if self._transform is not None:
            try:
                return self._transform(items)
            except Exception as error:
                logger.warning("observe: transform_to_string failed: %s", type(error).__name__)
                return items
        return "".join(items) if all(isinstance(item, str) for item in items) else items

    def _fail(self, error: BaseException) -> None:
        if not self._done:
            self._done = True
            _end_with_error(self._observation, error)


class _SyncStream(_Stream):
    """A generator whose body runs in the context of the call at every step."""

    def __iter__(self) -> _SyncStream:
        return self

    def __next__(self) -> Any:
        return self._step(next, self._source)

    def send(self, value: Any) -> Any:
        return self._step(self._source.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._source.throw, *error)

    def _step(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return self._take(self._context.run(call, *args))
        except StopIteration:
            self._complete()
            raise
        except BaseException as error:
            self._fail(error)
            raise

    def close(self) -> None:
        try:
            self._context.run(self._source.close)
        except BaseException as error:
            self._fail(error)
            raise
        self._complete()

    def __del__(self) -> None:
        try:
            self.close()
        except BaseException:
            pass


class _AsyncStream(_Stream):
    """An asynchronous generator whose body runs in the context of the call, in the task of whoever reads it."""

    def __aiter__(self) -> _AsyncStream:
        return self

    async def __anext__(self) -> Any:
        return await self._step(self._source.__anext__())

    async def asend(self, value: Any) -> Any:
        return await self._step(self._source.asend(value))

    async def athrow(self, *error: Any) -> Any:
        return await self._step(self._source.athrow(*error))

    async def _step(self, awaitable: Any) -> Any:
        try:
            return self._take(await _InContext(awaitable, self._context))
        except StopAsyncIteration:
            self._complete()
            raise
        except BaseException as error:
            self._fail(error)
            raise

    async def aclose(self) -> None:
        close = getattr(self._source, "aclose", None)
        try:
            if close is not None:
                await _InContext(close(), self._context)
        except BaseException as error:
            self._fail(error)
            raise
        self._complete()

    def __del__(self) -> None:
        try:
            self._complete()
        except BaseException:
            pass


class _InContext:
    """Awaits in a given context, without a task of its own: what is awaited stays with the caller's task."""

    __slots__ = ("_awaitable", "_context")

    def __init__(self, awaitable: Any, context: contextvars.Context) -> None:
        self._awaitable = awaitable
        self._context = context

    def __await__(self) -> Any:
        steps = self._awaitable.__await__()
        run = self._context.run
        send: Any = None
        error: BaseException | None = None
        while True:
            try:
                if error is not None:
                    throw, error = error, None
                    waited = run(steps.throw, throw)
                else:
                    waited = run(steps.send, send)
            except StopIteration as stop:
                return stop.value
            try:
                send = yield waited
            except BaseException as thrown:
                send, error = None, thrown


def _is_method(fn: Callable[..., Any]) -> bool:
    """Whether the first argument is one that the caller does not write."""
    try:
        parameters = inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return False
    return "self" in parameters or "cls" in parameters


def _is_coroutine_function(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(fn) or (
        _COROUTINE_MARKER is not None and getattr(fn, "_is_coroutine", None) is _COROUTINE_MARKER
    )
