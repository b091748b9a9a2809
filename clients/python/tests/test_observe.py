from __future__ import annotations

import asyncio
import gc
import unittest
from collections.abc import AsyncIterator, Iterator
from typing import Any

from offpath import get_client, observe, propagate_attributes

from .support import SpoolTest


class Observe(SpoolTest):
    def test_bare_and_with_arguments(self) -> None:
        @observe
        def bare(a: int, b: int = 2) -> int:
            return a + b

        @observe(name="named", as_type="tool", capture_input=False, capture_output=False)
        def given(a: int) -> int:
            return a

        self.assertEqual((bare(1, b=5), given(3)), (6, 3))
        spool = self.spool()
        found = spool.named("bare")
        self.assertEqual((found["input"], found["output"]), ({"args": [1], "kwargs": {"b": 5}}, 6))
        named = spool.named("named")
        self.assertEqual((named["type"], named.get("input"), named.get("output")), ("tool", None, None))

    def test_methods_are_recorded_without_self(self) -> None:
        class Service:
            @observe()
            def answer(self, question: str) -> str:
                return question.upper()

            @classmethod
            @observe()
            def make(cls, name: str) -> str:
                return name

        Service().answer("why?")
        Service.make("x")
        self.assertEqual(self.spool().named("answer")["input"], {"args": ["why?"], "kwargs": {}})
        self.assertEqual(self.spool().named("make")["input"], {"args": ["x"], "kwargs": {}})

    def test_nested_calls_and_coroutines(self) -> None:
        @observe()
        async def inner(x: int) -> int:
            await asyncio.sleep(0)
            get_client().update_current_span(metadata={"x": x})
            return x

        @observe(as_type="agent")
        async def outer() -> list[int]:
            return list(await asyncio.gather(inner(1), inner(2)))

        self.assertEqual(asyncio.run(outer()), [1, 2])
        spool = self.spool()
        root = spool.named("outer")
        inners = [each for each in spool.observations().values() if each["name"] == "inner"]
        self.assertEqual([each["parent_span_id"] for each in inners], [root["span_id"]] * 2)
        self.assertEqual(sorted(each["metadata"]["x"] for each in inners), [1, 2])
        self.assertEqual(root["output"], [1, 2])

    def test_errors(self) -> None:
        @observe()
        def fails() -> None:
            raise KeyError("missing")

        @observe()
        async def cancelled() -> None:
            await asyncio.sleep(10)

        async def main() -> None:
            task = asyncio.create_task(cancelled())
            await asyncio.sleep(0.001)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        with self.assertRaises(KeyError):
            fails()
        asyncio.run(main())
        found = self.spool().named("fails")
        self.assertEqual((found["level"], found["status_message"]), ("ERROR", "'missing'"))
        self.assertEqual(found["status"], {"code": 2, "message": "'missing'"})
        stopped = self.spool().named("cancelled")
        self.assertEqual((stopped["level"], stopped["status_message"]), ("ERROR", "CancelledError"))
        self.assertIn("end_time", stopped)

    def test_the_callers_keywords(self) -> None:
        @observe()
        def child(**kwargs: Any) -> dict[str, Any]:
            return kwargs

        trace = "0af7651916cd43dd8448eb211c80319c"
        seen = child(langfuse_trace_id=trace, langfuse_parent_observation_id="b7ad6b7169203331", other=1)
        self.assertEqual(seen, {"other": 1})
        found = self.spool().named("child")
        self.assertEqual((found["trace_id"], found["parent_span_id"]), (trace, "b7ad6b7169203331"))
        self.assertEqual(found["input"], {"args": [], "kwargs": {"other": 1}})

    def test_the_variable_turns_capturing_off(self) -> None:
        import os

        os.environ["LANGFUSE_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED"] = "false"

        @observe()
        def quiet(x: int) -> int:
            return x

        quiet(1)
        found = self.spool().named("quiet")
        self.assertNotIn("input", found)
        self.assertNotIn("output", found)


class Generators(SpoolTest):
    def test_text_is_joined_when_read_to_the_end(self) -> None:
        @observe()
        def words() -> Iterator[str]:
            yield "a"
            # The body runs in the call's context at every step.
            get_client().start_observation(name="step").end()
            yield "b"

        stream = words()
        next(stream)
        self.assertNotIn("end_time", self.spool().named("words"))
        self.assertEqual(list(stream), ["b"])
        found = self.spool().named("words")
        self.assertEqual(found["output"], "ab")
        self.assertEqual(self.spool().named("step")["parent_span_id"], found["span_id"])

    def test_other_items_and_a_transform(self) -> None:
        @observe()
        def numbers() -> Iterator[int]:
            yield from (1, 2)

        @observe(transform_to_string=lambda items: "-".join(map(str, items)))
        def shown() -> Iterator[int]:
            yield from (1, 2)

        list(numbers())
        list(shown())
        self.assertEqual(self.spool().named("numbers")["output"], [1, 2])
        self.assertEqual(self.spool().named("shown")["output"], "1-2")

    def test_closed_early_let_go_and_failing(self) -> None:
        def make(name: str) -> Any:
            @observe(name=name)
            def stream() -> Iterator[str]:
                yield "first"
                if name == "failing":
                    raise OSError("upstream is gone")
                yield "second"

            return stream()

        closed, left, failing = make("closed"), make("left"), make("failing")
        for stream in (closed, left, failing):
            next(stream)
        closed.close()
        del left
        del stream
        gc.collect()
        with self.assertRaises(OSError):
            next(failing)
        spool = self.spool()
        self.assertEqual([spool.named(name).get("output") for name in ("closed", "left")], ["first", "first"])
        self.assertEqual(spool.named("failing")["status_message"], "upstream is gone")
        self.assertTrue(all("end_time" in spool.named(name) for name in ("closed", "left", "failing")))

    def test_asynchronous_ones(self) -> None:
        @observe()
        async def tokens(stop: int) -> AsyncIterator[str]:
            for i in range(stop):
                await asyncio.sleep(0)
                get_client().create_event(name=f"token {stop}/{i}")
                yield str(i)

        async def main() -> None:
            with propagate_attributes(user_id="u"):
                self.assertEqual([token async for token in tokens(3)], ["0", "1", "2"])
                stream = tokens(100)
                await stream.__anext__()
                await stream.aclose()  # type: ignore[attr-defined]

        asyncio.run(main())
        spool = self.spool()
        found = [each for each in spool.observations().values() if each["name"] == "tokens"]
        self.assertEqual([each["output"] for each in found], ["012", "0"])
        self.assertEqual(spool.named("token 3/2")["parent_span_id"], found[0]["span_id"])
        self.assertEqual(spool.named("token 3/2")["trace"], {"user_id": "u"})

    def test_a_reader_that_is_cancelled(self) -> None:
        @observe()
        async def slow() -> AsyncIterator[str]:
            yield "a"
            await asyncio.sleep(10)

        async def read() -> None:
            async for _ in slow():
                pass

        async def main() -> None:
            task = asyncio.create_task(read())
            await asyncio.sleep(0.005)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        found = self.spool().named("slow")
        self.assertEqual((found["level"], found["status_message"]), ("ERROR", "CancelledError"))

    def test_the_current_task_is_the_readers(self) -> None:
        @observe()
        async def with_timeout() -> AsyncIterator[int]:
            # anyio's cancel scopes and asyncio.timeout need it.
            async with asyncio.timeout(1) if hasattr(asyncio, "timeout") else _nothing():
                yield 1
                await asyncio.sleep(0)
                yield 2

        async def main() -> list[int]:
            return [item async for item in with_timeout()]

        self.assertEqual(asyncio.run(main()), [1, 2])

    def test_a_streaming_response_ends_with_its_body(self) -> None:
        class StreamingResponse:
            def __init__(self, body: AsyncIterator[str]) -> None:
                self.body_iterator = body

        async def body() -> AsyncIterator[str]:
            yield "he"
            yield "llo"

        @observe()
        async def endpoint() -> StreamingResponse:
            return StreamingResponse(body())

        async def main() -> None:
            response = await endpoint()
            self.assertNotIn("end_time", self.spool().named("endpoint"))
            self.assertEqual([chunk async for chunk in response.body_iterator], ["he", "llo"])

        asyncio.run(main())
        self.assertEqual(self.spool().named("endpoint")["output"], "hello")

    def test_a_streamed_body_need_not_be_an_iterator(self) -> None:
        class StreamingResponse:
            def __init__(self, body: Any) -> None:
                self.body_iterator = body

        class Body:
            async def __aiter__(self) -> AsyncIterator[str]:
                yield "he"
                yield "llo"

        @observe()
        def endpoint(body: Any) -> StreamingResponse:
            return StreamingResponse(body)

        async def main() -> None:
            chunks = [chunk async for chunk in endpoint(Body()).body_iterator]
            self.assertEqual(chunks, ["he", "llo"])

        asyncio.run(main())
        self.assertEqual(self.spool().named("endpoint")["output"], "hello")
        self.assertEqual(list(endpoint(iter("ab")).body_iterator), ["a", "b"])


class _nothing:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


if __name__ == "__main__":
    unittest.main()
