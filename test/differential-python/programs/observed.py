from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

from .program import OTHER_TRACE_ID, SPAN_ID, TRACE_ID, program


@program("observed functions")
def functions(client: Any, package: Any, report: Any) -> None:
    observe = package.observe

    @observe
    def bare(a: int, b: int = 2, *rest: int, key: str = "k") -> dict[str, int]:
        """Documented."""
        return {"sum": a + b}

    @observe()
    def called(a: Any) -> Any:
        return bare(a)

    @observe(name="renamed", as_type="generation", capture_input=False)
    def without_input(a: int) -> int:
        client.update_current_generation(model="m", usage_details={"input": a})
        return a

    @observe(capture_output=False)
    def without_output(a: int) -> int:
        return a

    @observe()
    def nothing() -> None:
        return None

    @observe()
    def becomes_a_generation() -> str:
        client.update_current_generation(model="m")
        return "text"

    becomes_a_generation()
    report("bare", bare(1, 3, 4, key="q"))
    report("called", called(5))
    report("renamed", without_input(7))
    report("without output", without_output(8))
    report("nothing", nothing())
    report("name and doc", (bare.__name__, bare.__doc__))


@program("observed types")
def types(client: Any, package: Any, report: Any) -> None:
    for kind in (
        "span",
        "generation",
        "embedding",
        "agent",
        "tool",
        "chain",
        "retriever",
        "evaluator",
        "guardrail",
    ):

        @package.observe(name=kind, as_type=kind)
        def work(n: int) -> int:
            return n

        work(1)


@program("observed methods")
def methods(client: Any, package: Any, report: Any) -> None:
    class Service:
        @package.observe()
        def of_instance(self, a: int) -> int:
            return a

        @classmethod
        @package.observe()
        def of_class(cls, a: int) -> int:
            return a

        @staticmethod
        @package.observe()
        def static(a: int) -> int:
            return a

        @package.observe()
        async def asynchronous(self, a: int) -> int:
            return a

    service = Service()
    report("results", (service.of_instance(1), Service.of_class(2), service.static(3)))
    report("asynchronous", asyncio.run(service.asynchronous(4)))


@program("observed coroutines")
async def coroutines(client: Any, package: Any, report: Any) -> None:
    @package.observe(as_type="chain")
    async def outer(n: int) -> list[int]:
        return await asyncio.gather(*(inner(i) for i in range(n)))

    @package.observe()
    async def inner(i: int) -> int:
        await asyncio.sleep(0.001 * (i + 1))
        client.update_current_span(name=f"inner {i}")
        return i * i

    report("results", await outer(3))
    report("active", client.get_current_trace_id())


@program("observed with a trace given")
def with_trace(client: Any, package: Any, report: Any) -> None:
    @package.observe()
    def plain(a: int) -> int:
        return a

    @package.observe()
    async def asynchronous(a: int) -> int:
        return a

    plain(1, langfuse_trace_id=TRACE_ID, langfuse_parent_observation_id=SPAN_ID)
    asyncio.run(asynchronous(2, langfuse_trace_id=OTHER_TRACE_ID))


@program("observed generators")
def generators(client: Any, package: Any, report: Any) -> None:
    @package.observe()
    def words(n: int) -> Iterator[str]:
        for i in range(n):
            client.start_observation(name=f"inside {i}").end()
            yield f"word {i} "

    @package.observe()
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    @package.observe(transform_to_string=lambda items: f"{len(list(items))} items")
    def transformed() -> Iterator[int]:
        yield from (1, 2, 3)

    @package.observe()
    def failing() -> Iterator[str]:
        yield "a"
        raise ValueError("broke")

    @package.observe(capture_output=False)
    def uncaptured() -> Iterator[int]:
        yield 1

    @package.observe()
    def empty() -> Iterator[int]:
        yield from ()

    report("words", list(words(2)))
    report("numbers", list(numbers()))
    report("transformed", list(transformed()))
    report("uncaptured", list(uncaptured()))
    report("empty", list(empty()))
    try:
        list(failing())
    except ValueError as error:
        report("failing", repr(error))


@program("observed generators left early", versions=(4, 5))
def left_early(client: Any, package: Any, report: Any) -> None:
    @package.observe()
    def closed() -> Iterator[int]:
        yield 1
        yield 2

    @package.observe()
    def let_go() -> Iterator[int]:
        yield 1
        yield 2

    first = closed()
    next(first)
    first.close()
    second = let_go()
    next(second)
    del second
    gc.collect()


@program("observed async generators")
async def async_generators(client: Any, package: Any, report: Any) -> None:
    @package.observe(as_type="generation")
    async def words(n: int) -> AsyncIterator[str]:
        for i in range(n):
            await asyncio.sleep(0)
            client.start_observation(name=f"inside {i}").end()
            yield f"word {i} "

    @package.observe()
    async def failing() -> AsyncIterator[str]:
        yield "a"
        raise ValueError("broke")

    @package.observe(transform_to_string=lambda items: "+".join(map(str, items)))
    async def transformed() -> AsyncIterator[int]:
        yield 1
        yield 2

    @package.observe()
    async def returning() -> AsyncIterator[int]:
        async def produced() -> AsyncIterator[int]:
            yield 1
            yield 2

        return produced()

    report("words", [word async for word in words(2)])
    report("transformed", [item async for item in transformed()])
    report("returning", [item async for item in await returning()])
    try:
        async for _ in failing():
            pass
    except ValueError as error:
        report("failing", repr(error))


@program("observed async generators left early", versions=(4, 5))
async def async_left_early(client: Any, package: Any, report: Any) -> None:
    @package.observe()
    async def closed() -> AsyncIterator[int]:
        yield 1
        yield 2

    stream = closed()
    async for _ in stream:
        break
    await stream.aclose()


@program("a streaming response")
async def streaming(client: Any, package: Any, report: Any) -> None:
    class StreamingResponse:
        def __init__(self, content: Any) -> None:
            self.body_iterator = content

    @package.observe()
    async def endpoint() -> Any:
        async def body() -> AsyncIterator[str]:
            yield "a"
            client.start_observation(name="in the body").end()
            yield "b"

        return StreamingResponse(body())

    response = await endpoint()
    report("body", [chunk async for chunk in response.body_iterator])


@program("spans below observed functions")
def below(client: Any, package: Any, report: Any) -> None:
    @package.observe()
    def root() -> str:
        with client.start_as_current_observation(name="child", as_type="retriever") as child:
            leaf()
            child.update(output="found")
        client.update_current_span(metadata={"from": "inside"}, output="overwritten by the result")
        return "result"

    @package.observe(as_type="evaluator")
    def leaf() -> float:
        return 0.5

    root()
