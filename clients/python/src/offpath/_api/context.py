"""Which observation is active, and which trace attributes hold: one context variable for both."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from .observation import LangfuseObservationWrapper
    from .propagate import Propagated

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Active:
    """Immutable; what runs in it is under `observation`, and has what is `propagated`."""

    __slots__ = ("observation", "propagated")

    def __init__(self, observation: LangfuseObservationWrapper | None, propagated: Propagated | None) -> None:
        self.observation = observation
        self.propagated = propagated


active: contextvars.ContextVar[Active | None] = contextvars.ContextVar("offpath", default=None)


def leave(token: contextvars.Token[Active | None]) -> None:
    """Back to what was active before. Where that was in another context, as after a client's disconnect, that one has ended."""
    try:
        active.reset(token)
    except ValueError:
        pass


class ContextThreadPoolExecutor(ThreadPoolExecutor):
    """A ThreadPoolExecutor whose calls run in the context that they were submitted in."""

    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Any:
        return super().submit(contextvars.copy_context().run, partial(fn, *args, **kwargs))


async def run_in_executor(executor: Any, fn: Callable[..., _R], *args: Any) -> _R:
    """`loop.run_in_executor`, whose function runs in the caller's context."""
    context = contextvars.copy_context()
    result: _R = await asyncio.get_running_loop().run_in_executor(executor, partial(context.run, fn, *args))
    return result


def in_context(fn: Callable[_P, _R]) -> Callable[_P, _R]:
    """The function, bound to the present context: for threads that others start."""
    context = contextvars.copy_context()

    def bound(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        # A copy for each call: a context can't be entered twice at once.
        return context.copy().run(fn, *args, **kwargs)

    return bound
