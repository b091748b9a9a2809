"""Context managers that are also decorators, of functions and of coroutines, as Langfuse's are."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Generic, TypeVar

_T = TypeVar("_T", covariant=True)
_F = TypeVar("_F", bound=Callable[..., Any])


class AgnosticContextManager(Generic[_T]):
    """`with` it, `async with` it, or decorate with it: then each call has one of its own."""

    def _again(self) -> AgnosticContextManager[_T]:
        raise NotImplementedError

    def __enter__(self) -> _T:
        raise NotImplementedError

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> _T:
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, fn: _F) -> _F:
        if inspect.iscoroutinefunction(fn):

            @wraps(fn)
            async def in_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await fn(*args, **kwargs)

            return in_coroutine  # type: ignore[return-value]

        @wraps(fn)
        def in_function(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return fn(*args, **kwargs)

        return in_function  # type: ignore[return-value]
