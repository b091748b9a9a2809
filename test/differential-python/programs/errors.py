from __future__ import annotations

import asyncio
from typing import Any

from .program import program


class Custom(Exception):
    pass


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


@program("errors in context managers")
def in_blocks(client: Any, package: Any, report: Any) -> None:
    for name, error in {
        "value error": ValueError("broke"),
        "no message": RuntimeError(),
        "custom": Custom("custom", 2),
        "key error": KeyError("k"),
        "Vietnamese": ValueError("lỗi"),
    }.items():
        try:
            with client.start_as_current_observation(name=name, as_type="tool"):
                raise error
        except Exception as caught:
            report(name, caught is error)


@program("errors pass through all levels")
def nested(client: Any, package: Any, report: Any) -> None:
    try:
        with client.start_as_current_observation(name="outer"):
            with client.start_as_current_observation(name="caught"):
                try:
                    with client.start_as_current_observation(name="inner", as_type="generation"):
                        raise ValueError("inner")
                except ValueError:
                    client.update_current_span(output="went on")
            raise LookupError("outer")
    except LookupError:
        pass
    report("active afterwards", client.get_current_trace_id())


@program("errors with end_on_exit off")
def left_open(client: Any, package: Any, report: Any) -> None:
    try:
        with client.start_as_current_observation(name="ended later", end_on_exit=False) as observation:
            raise ValueError("broke")
    except ValueError:
        observation.end()


@program("leaving without an exception")
def leaving(client: Any, package: Any, report: Any) -> None:
    for error in (KeyboardInterrupt(), SystemExit(3), GeneratorExit()):
        try:
            with client.start_as_current_observation(name=type(error).__name__):
                raise error
        except BaseException as caught:
            report(type(error).__name__, type(caught).__name__)


@program("errors of observed functions")
def observed(client: Any, package: Any, report: Any) -> None:
    @package.observe()
    def outer(message: str) -> None:
        inner(message)

    @package.observe(as_type="tool")
    def inner(message: str) -> None:
        raise Custom(message) if message else Custom()

    for message in ("broke", ""):
        try:
            outer(message)
        except Custom as error:
            report(message, repr(error))


@program("errors of observed coroutines")
async def observed_coroutines(client: Any, package: Any, report: Any) -> None:
    @package.observe()
    async def failing() -> None:
        await asyncio.sleep(0)
        raise ValueError("broke")

    @package.observe()
    async def cancelled() -> None:
        await asyncio.sleep(10)

    try:
        await failing()
    except ValueError as error:
        report("failing", repr(error))
    task = asyncio.ensure_future(cancelled())
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        report("cancelled", True)


@program("an observation given an error by hand")
def by_hand(client: Any, package: Any, report: Any) -> None:
    observation = client.start_observation(name="by hand")
    observation.update(level="ERROR", status_message="by hand", output={"error": "x"})
    observation.end()
    with client.start_as_current_observation(name="active") as active:
        active.update(level="ERROR", status_message="handled")
