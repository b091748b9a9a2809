"""Where the time of a request goes: of one request in eight, each call of the tracing API is timed, wall and CPU.

CPU of the calling thread within a call is recording; the rest of the call's time it waited: for the GIL, a lock, the
machine. Calls that block on purpose, a flush and a request to the server, are counted apart.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from contextvars import ContextVar
from statistics import median_low as median
from typing import Any

_EVERY = 8


class Account:
    """What one request spent."""

    def __init__(self) -> None:
        #: Nanoseconds by the clock and of CPU, one for each call; threads append at the same time.
        self.calls: list[tuple[int, int]] = []
        self.flush_ns = 0
        self.network_ns = 0
        self._entered = (0, 0)

    def call(self, function: Callable[..., Any], *args: Any, **fields: Any) -> Any:
        cpu = time.thread_time_ns()
        wall = time.perf_counter_ns()
        try:
            return function(*args, **fields)
        finally:
            self.calls.append((time.perf_counter_ns() - wall, time.thread_time_ns() - cpu))

    def enter(self) -> None:
        """For calls that call back, such as a decorated function: out of ours, into the SDK's code."""
        self._entered = (time.perf_counter_ns(), time.thread_time_ns())

    def leave(self) -> None:
        wall, cpu = self._entered
        self.calls.append((time.perf_counter_ns() - wall, time.thread_time_ns() - cpu))


#: Of the request in hand, when it is one of those that are timed.
account_in_hand: ContextVar[Account | None] = ContextVar("account_in_hand", default=None)


def timed(function: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    """A call of the tracing API, timed where the request in hand is."""
    account = account_in_hand.get()
    return function(*args, **fields) if account is None else account.call(function, *args, **fields)


class Split:
    def __init__(self) -> None:
        self._seen = 0
        self._accounts: list[Account] = []

    def begin(self) -> None:
        self._accounts = []

    def next_account(self) -> Account | None:
        """An account for every eighth request."""
        self._seen += 1
        if self._seen % _EVERY:
            return None
        account = Account()
        self._accounts.append(account)
        return account

    def figures(self) -> dict[str, float]:
        count = len(self._accounts)

        clock_wall, clock_cpu = _cost_of_the_clock()

        def mean_us(of: Callable[[Account], int]) -> float:
            return round(sum(of(account) for account in self._accounts) / max(1, count) / 1000, 2)

        def cpu(wall_ns: int, cpu_ns: int) -> int:
            return max(0, cpu_ns - clock_cpu)

        def waited(wall_ns: int, cpu_ns: int) -> int:
            return max(0, wall_ns - clock_wall - cpu(wall_ns, cpu_ns))

        return {
            "requests": count,
            "recordingUs": mean_us(lambda account: sum(cpu(*call) for call in account.calls)),
            "waitingInCallsUs": mean_us(lambda account: sum(waited(*call) for call in account.calls)),
            "flushUs": mean_us(lambda account: account.flush_ns),
            "networkUs": mean_us(lambda account: account.network_ns),
        }


def _cost_of_the_clock() -> tuple[int, int]:
    """What a call that does nothing takes, by the clock and of CPU: it is in each call's time."""
    account = Account()
    for _ in range(1000):
        account.call(lambda: None)
    return median(wall for wall, _ in account.calls), median(cpu for _, cpu in account.calls)


class TimedClient:
    """A client, its calls timed."""

    def __init__(self, client: Any, account: Account) -> None:
        self._client = client
        self._account = account

    def start_observation(self, **fields: Any) -> TimedObservation:
        started = self._account.call(self._client.start_observation, **fields)
        return TimedObservation(started, self._account)

    def start_as_current_observation(self, **fields: Any) -> TimedContext:
        manager = self._account.call(self._client.start_as_current_observation, **fields)
        return TimedContext(manager, self._account)


class TimedObservation:
    __slots__ = ("_account", "_observation")

    def __init__(self, observation: Any, account: Account) -> None:
        self._observation = observation
        self._account = account

    def update(self, **fields: Any) -> None:
        self._account.call(self._observation.update, **fields)

    def end(self) -> None:
        self._account.call(self._observation.end)


class TimedContext:
    __slots__ = ("_account", "_manager")

    def __init__(self, manager: Any, account: Account) -> None:
        self._manager = manager
        self._account = account

    def __enter__(self) -> TimedObservation:
        return TimedObservation(self._account.call(self._manager.__enter__), self._account)

    def __exit__(self, *error: Any) -> Any:
        return self._account.call(self._manager.__exit__, *error)


def timed_methods(target: Any, names: tuple[str, ...], account: Account) -> None:
    """Times methods of an object in its place."""
    for name in names:
        setattr(target, name, functools.partial(account.call, getattr(target, name)))


def observed(observe: Callable[..., Any], **options: Any) -> Callable[[Any], Any]:
    """The SDK's `observe` for a request that is timed: what it does before and after the function is, the function is not."""

    def decorate(function: Any) -> Any:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine_inside(*args: Any, **fields: Any) -> Any:
                account = _account()
                account.leave()
                try:
                    return await function(*args, **fields)
                finally:
                    account.enter()

            decorated = observe(**options)(coroutine_inside)

            async def coroutine_outside(*args: Any, **fields: Any) -> Any:
                account = _account()
                account.enter()
                try:
                    return await decorated(*args, **fields)
                finally:
                    account.leave()

            return coroutine_outside

        @functools.wraps(function)
        def inside(*args: Any, **fields: Any) -> Any:
            account = _account()
            account.leave()
            try:
                return function(*args, **fields)
            finally:
                account.enter()

        called = observe(**options)(inside)

        def outside(*args: Any, **fields: Any) -> Any:
            account = _account()
            account.enter()
            try:
                return called(*args, **fields)
            finally:
                account.leave()

        return outside

    return decorate


def _account() -> Account:
    account = account_in_hand.get()
    assert account is not None, "a request that is not timed gets functions with the SDK's own decorator"
    return account
