from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import unittest
from typing import Any
from unittest import mock

from openai_server import AUDIO, TOOL_CALL, USAGE, OpenAIServer, openai_server

from offpath import get_client
from tests.reader import Media
from tests.support import SpoolTest

_HAS_OPENAI = importlib.util.find_spec("openai") is not None
if _HAS_OPENAI:
    import pydantic

    from offpath.openai import AsyncOpenAI, AzureOpenAI, OpenAI, openai

_MESSAGES: list[Any] = [{"role": "user", "content": "What is the capital of Vietnam?"}]
_KEY = "sk-a-secret-key"
_TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
_TRACE = "0af7651916cd43dd8448eb211c80319c"
_SPAN = "b7ad6b7169203331"


class OpenAITest(SpoolTest):
    server: OpenAIServer
    name = "OpenAI-generation"

    def setUp(self) -> None:
        super().setUp()
        self.server = self.enter(openai_server())
        self.openai = self.enter(OpenAI(base_url=self.server.url, api_key=_KEY, max_retries=0))

    def enter(self, manager: Any) -> Any:
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        return stack.enter_context(manager)

    def chat(self, **arguments: Any) -> Any:
        return self.openai.chat.completions.create(model="gpt-test", messages=_MESSAGES, **arguments)

    def stream(self, **arguments: Any) -> Any:
        return self.chat(stream=True, **arguments)

    def generation(self) -> dict[str, Any]:
        generation = self.spool().named(self.name)
        self.assertNotIn(_KEY, str(self.spool().records))
        return generation

    def is_open(self) -> bool:
        return "end_time" not in self.generation()


@unittest.skipUnless(_HAS_OPENAI, "openai not installed")
class Whole(OpenAITest):
    def test_a_chat_completion(self) -> None:
        answer = self.chat(temperature=0.2, max_tokens=50, seed=1, extra_body={"top_k": 4, "list": [1]})
        self.assertEqual(answer.choices[0].message.content, "Hanoi")
        found = self.generation()
        self.assertEqual(found["type"], "generation")
        self.assertEqual(found["input"], _MESSAGES)
        self.assertEqual(found["output"], {"role": "assistant", "content": "Hanoi"})
        self.assertEqual(found["model"], "gpt-test-1")
        self.assertEqual(
            found["model_parameters"],
            {"temperature": 0.2, "max_tokens": 50, "seed": 1, "top_k": 4, "service_tier": "default"},
        )
        self.assertEqual(found["usage_details"], USAGE)
        self.assertEqual(found["metadata"], {"finish_reason": "stop"})
        self.assertFalse(self.is_open())
        self.assertNotIn("level", found)

    def test_tool_calls_and_several_choices(self) -> None:
        self.chat(tools=[_TOOL], n=2)
        found = self.generation()
        self.assertEqual(found["input"], {"messages": _MESSAGES, "tools": [_TOOL]})
        message = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
        self.assertEqual(found["output"], [message, message])

    def test_further_arguments_are_recorded_and_not_sent(self) -> None:
        prompt = {"name": "capitals", "version": 3}
        self.chat(
            name="ask",
            metadata={"a": 1, "langfuse_tags": ["x"]},
            trace_id=_TRACE,
            parent_observation_id=_SPAN,
            session_id="s-1",
            user_id="u-1",
            langfuse_prompt=prompt,
        )
        self.assertEqual(set(self.server.requests[0]), {"model", "messages"})
        found = self.spool().named("ask")
        self.assertEqual((found["trace_id"], found["parent_span_id"]), (_TRACE, _SPAN))
        self.assertEqual(found["trace"], {"session_id": "s-1", "user_id": "u-1", "tags": ["x"]})
        self.assertEqual(found["metadata"], {"a": 1, "finish_reason": "stop"})
        self.assertEqual(found["prompt"], prompt)

    def test_metadata_goes_on_where_openai_stores_it(self) -> None:
        self.chat(metadata={"a": "1"}, store=True)
        self.assertEqual(self.server.requests[0]["metadata"], {"a": "1"})

    def test_under_the_active_observation(self) -> None:
        with get_client().start_as_current_observation(name="root") as root:
            self.chat()
        self.assertEqual(self.generation()["parent_span_id"], root.id)

    def test_wrong_further_arguments_do_not_fail_the_call(self) -> None:
        with self.assertLogs("offpath", "WARNING"):
            answer = self.chat(parent_observation_id=_SPAN, metadata=5, name=7)
        self.assertEqual(answer.choices[0].message.content, "Hanoi")
        self.assertNotIn("parent_span_id", self.spool().named("7"))

    def test_metadata_that_cannot_be_read_does_not_fail_the_call(self) -> None:
        class Broken(pydantic.BaseModel):
            def model_dump(self, **_: Any) -> Any:
                raise ValueError

        with self.assertLogs("offpath", "WARNING"):
            self.assertEqual(self.chat(metadata=Broken()).choices[0].message.content, "Hanoi")

    def test_messages_that_can_be_read_once_reach_openai(self) -> None:
        self.openai.chat.completions.create(model="gpt-test", messages=(each for each in _MESSAGES))
        self.assertEqual(self.server.requests[0]["messages"], _MESSAGES)

    def test_messages_that_are_openais_objects(self) -> None:
        message = self.chat().choices[0].message
        with get_client().start_as_current_observation(name="root"):
            self.openai.chat.completions.create(model="m", messages=[message], name="second")
        (recorded,) = self.spool().named("second")["input"]
        self.assertEqual((recorded["role"], recorded["content"]), ("assistant", "Hanoi"))

    def test_audio(self) -> None:
        """Base64 without a type: media, which the relay decodes."""
        sound = "UklGRiQA" * 200
        audio = {"type": "input_audio", "input_audio": {"data": sound, "format": "mp3"}}
        text = {"type": "text", "text": "What is this?"}
        messages: list[Any] = [*_MESSAGES, {"role": "user", "content": [text, audio]}]
        spoken = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
        for name in ("first", "second"):
            self.openai.chat.completions.create(model="m", messages=messages, name=name, **spoken)  # type: ignore[call-overload]
        self.assertEqual(self.server.requests[0]["messages"], messages)
        spool = self.spool()
        media = Media("audio/mp3", sound, "base64_data_uri")
        recorded = {"type": "input_audio", "input_audio": {"data": media, "format": "mp3"}}
        for name in ("first", "second"):
            found = spool.named(name)
            self.assertEqual(found["input"], [*_MESSAGES, {"role": "user", "content": [text, recorded]}])
            data = Media("audio/pcm;rate=24000", AUDIO["data"], "base64_data_uri")
            self.assertEqual(found["output"]["audio"], {**AUDIO, "data": data})
        # The second time it is referred to.
        self.assertEqual(spool.part_bytes, len(sound) + 2 * len(AUDIO["data"]))

    def test_audio_in_responses(self) -> None:
        audio = {"type": "input_audio", "input_audio": {"data": "UklGRiQA", "format": "wav"}}
        self.openai.responses.create(model="gpt-test", input=[{"role": "user", "content": [audio]}])  # type: ignore[list-item]
        ((part,),) = (message["content"] for message in self.generation()["input"])
        self.assertEqual(part["input_audio"]["data"], Media("audio/wav", "UklGRiQA", "base64_data_uri"))

    def test_audio_that_is_none(self) -> None:
        parts = [{"type": "input_audio"}, {"type": "input_audio", "input_audio": {"data": None}}, "text"]
        self.openai.chat.completions.create(model="m", messages=[{"role": "user", "content": parts}])  # type: ignore[call-overload]
        self.assertEqual(self.generation()["input"], [{"role": "user", "content": parts}])

    def test_parse(self) -> None:
        class City(pydantic.BaseModel):
            city: str

        answer = self.openai.chat.completions.parse(
            model="gpt-test", messages=_MESSAGES, response_format=City, user="json"
        )
        self.assertEqual(answer.choices[0].message.parsed, City(city="Hanoi"))
        found = self.generation()
        self.assertEqual(found["output"]["content"], '{"city": "Hanoi"}')
        self.assertEqual(found["metadata"]["response_format"]["title"], "City")

    def test_completions(self) -> None:
        self.openai.completions.create(model="gpt-test", prompt="The capital is")
        found = self.generation()
        self.assertEqual((found["input"], found["output"]), ("The capital is", "Hanoi"))

    def test_embeddings(self) -> None:
        self.openai.embeddings.create(model="embed", input=["a", "b"], dimensions=3, encoding_format="float")
        found = self.spool().named("OpenAI-embedding")
        self.assertEqual(found["type"], "embedding")
        self.assertEqual(found["input"], ["a", "b"])
        self.assertEqual(found["output"], {"dimensions": 3, "count": 2})
        self.assertEqual(found["usage_details"], {"input": 5})
        self.assertEqual(found["model_parameters"]["dimensions"], 3)

    def test_responses(self) -> None:
        self.openai.responses.create(
            model="gpt-test",
            instructions="Be short.",
            input="What is it?",
            reasoning={"effort": "low"},
            tools=[{"type": "web_search_preview"}],
        )
        found = self.generation()
        self.assertEqual(
            found["input"],
            {
                "input": [
                    {"role": "system", "content": "Be short."},
                    {"role": "user", "content": "What is it?"},
                ],
                "tools": [{"type": "web_search_preview"}],
            },
        )
        self.assertEqual(found["output"]["content"][0]["text"], "Hanoi")
        self.assertEqual(found["usage_details"]["input_tokens_details"]["cached_tokens"], 12)
        self.assertEqual(found["model_parameters"], {"reasoning_effort": "low"})

    def test_errors(self) -> None:
        with self.assertRaises(openai.BadRequestError):
            self.chat(user="refused")
        found = self.generation()
        self.assertEqual(found["level"], "ERROR")
        self.assertIn("no such model", found["status_message"])
        self.assertEqual(found["cost_details"], {"input": 0, "output": 0, "total": 0})
        self.assertFalse(self.is_open())

    def test_raw_responses(self) -> None:
        raw = self.openai.chat.completions.with_raw_response.create(model="gpt-test", messages=_MESSAGES)
        self.assertEqual(raw.headers["content-type"], "application/json")
        self.assertEqual(raw.parse().choices[0].message.content, "Hanoi")
        self.assertEqual(self.generation()["output"]["content"], "Hanoi")

    def test_raw_responses_can_be_left_out(self) -> None:
        with mock.patch.dict("os.environ", {"LANGFUSE_OPENAI_SKIP_RAW_RESPONSES": "true"}):
            self.openai.chat.completions.with_raw_response.create(model="gpt-test", messages=_MESSAGES)
        self.assertEqual(self.spool().records, [])

    def test_raw_streams_are_the_callers(self) -> None:
        with self.openai.chat.completions.with_streaming_response.create(
            model="gpt-test", messages=_MESSAGES
        ) as response:
            self.assertIn("Hanoi", response.read().decode())
        self.assertEqual(self.spool().records, [])

    def test_disabled(self) -> None:
        with mock.patch.dict("os.environ", {"OFFPATH_ENABLED": "false"}):
            self.assertEqual(self.chat(name="x").choices[0].message.content, "Hanoi")
            self.assertIs(type(self.stream()), openai.Stream)
        self.assertEqual(self.spool().records, [])

    def test_azure(self) -> None:
        with AzureOpenAI(
            base_url=self.server.url, api_key=_KEY, api_version="2024-10-21", max_retries=0
        ) as azure:
            azure.chat.completions.create(model="gpt-test", messages=_MESSAGES)
        self.assertEqual(self.generation()["output"]["content"], "Hanoi")


@unittest.skipUnless(_HAS_OPENAI, "openai not installed")
class Streams(OpenAITest):
    def test_a_chat_completion(self) -> None:
        self.server.pause = 0.05
        stream = self.stream(stream_options={"include_usage": True})
        self.assertIsInstance(stream, openai.Stream)
        self.assertEqual(stream.response.status_code, 200)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        self.assertEqual(text, "Hanoi")
        found = self.generation()
        self.assertEqual(found["output"], "Hanoi")
        self.assertEqual(found["usage_details"], USAGE)
        self.assertEqual((found["model"], found["metadata"]), ("gpt-test-1", {"finish_reason": "stop"}))
        self.assertNotIn("status_message", found)
        first, start, end = (int(found[key]) for key in ("completion_start_time", "start_time", "end_time"))
        # The first chunk has the role alone: it is no token.
        self.assertGreaterEqual(first - start, 45_000_000)
        self.assertGreaterEqual(end - first, 100_000_000)

    def test_tool_calls(self) -> None:
        for _ in self.stream(tools=[_TOOL]):
            pass
        self.assertEqual(self.generation()["output"], {"role": "assistant", "tool_calls": [TOOL_CALL]})

    def test_reasoning(self) -> None:
        for _ in self.stream(user="thinks"):
            pass
        self.assertEqual(
            self.generation()["output"],
            {"role": "assistant", "content": "Hanoi", "reasoning_content": "Hm."},
        )

    def test_several_choices(self) -> None:
        for _ in self.stream(n=2):
            pass
        message = {"role": "assistant", "content": "Hanoi"}
        self.assertEqual(self.generation()["output"], [message, message])

    def test_next(self) -> None:
        stream = self.stream()
        with contextlib.suppress(StopIteration):
            while True:
                next(stream)
        self.assertEqual(self.generation()["output"], "Hanoi")
        self.assertFalse(self.is_open())

    def test_a_break(self) -> None:
        stream = self.stream(user="endless")
        for count, _ in enumerate(stream):
            if count == 2:
                break
        self.assertFalse(self.is_open())
        found = self.generation()
        self.assertEqual(found["output"], "Hanoi")
        self.assertEqual(found["status_message"], "the stream was left before its end")
        stream.close()

    def test_close_and_with(self) -> None:
        with self.stream(user="endless") as stream:
            next(stream)
            next(stream)
            self.assertTrue(self.is_open())
        self.assertFalse(self.is_open())
        self.assertEqual(self.generation()["output"], "Ha")
        self.assertTrue(stream.response.is_closed)

    def test_let_go(self) -> None:
        stream = self.stream(user="endless")
        next(stream)
        self.assertTrue(self.is_open())
        del stream
        gc.collect()
        self.assertFalse(self.is_open())

    def test_errors(self) -> None:
        for wish, expected in (("breaks", None), ("error event", "engine died")):
            with self.subTest(wish=wish):
                self.setUp()
                stream = self.stream(user=wish)
                if expected is None:
                    # A connection that ends without [DONE] is an end for OpenAI's SDK.
                    list(stream)
                    self.assertEqual(self.generation()["output"], "Hanoi")
                else:
                    with self.assertRaises(openai.APIError):
                        list(stream)
                    found = self.generation()
                    self.assertEqual((found["level"], found["status_message"]), ("ERROR", expected))
                    self.assertEqual(found["output"], "Hanoi")
                self.assertFalse(self.is_open())

    def test_a_callers_error_is_not_the_streams(self) -> None:
        with self.assertRaises(KeyError):
            for _ in self.stream(user="endless"):
                raise KeyError
        self.assertNotIn("level", self.generation())

    def test_completions(self) -> None:
        chunks = self.openai.completions.create(model="gpt-test", prompt="x", stream=True)
        self.assertEqual("".join(c.choices[0].text for c in chunks if c.choices), "Hanoi")
        found = self.generation()
        self.assertEqual((found["output"], found["usage_details"]), ("Hanoi", USAGE))

    def test_responses(self) -> None:
        events = self.openai.responses.create(model="gpt-test", input="x", stream=True)
        self.assertEqual([event.type for event in events][-1], "response.completed")
        found = self.generation()
        self.assertEqual(found["output"]["content"][0]["text"], "Hanoi")
        self.assertEqual(found["usage_details"]["total_tokens"], 27)
        self.assertEqual(found["metadata"], {"response_id": "resp_1", "status": "completed"})
        self.assertIn("completion_start_time", found)

    def test_responses_that_fail_or_are_left(self) -> None:
        list(
            self.openai.responses.create(
                model="gpt-test", input="x", stream=True, user="fails", name="failed"
            )
        )
        failed = self.spool().named("failed")
        self.assertEqual((failed["level"], failed["status_message"]), ("ERROR", "engine died"))
        stream = self.openai.responses.create(model="gpt-test", input="x", stream=True, name="left")
        for event in stream:
            if event.type.endswith("delta"):
                break
        left = self.spool().named("left")
        self.assertEqual(
            (left["output"], left["status_message"]), ("Ha", "the stream was left before its end")
        )
        stream.close()

    def test_the_streaming_helpers(self) -> None:
        with self.openai.chat.completions.stream(model="gpt-test", messages=_MESSAGES) as stream:
            completion = stream.get_final_completion()
        self.assertEqual(completion.choices[0].message.content, "Hanoi")
        self.assertEqual(self.generation()["output"], "Hanoi")
        with self.openai.responses.stream(model="gpt-test", input="x") as stream:
            self.assertEqual(stream.get_final_response().output_text, "Hanoi")
        ended = self.spool().of("end")
        self.assertEqual(len(ended), 2)


@unittest.skipUnless(_HAS_OPENAI, "openai not installed")
class Async(OpenAITest):
    def run_with(self, talk: Any) -> Any:
        async def main() -> Any:
            async with AsyncOpenAI(base_url=self.server.url, api_key=_KEY, max_retries=0) as client:
                return await talk(client)

        return asyncio.run(main())

    def test_whole(self) -> None:
        async def talk(client: Any) -> None:
            await client.chat.completions.create(model="gpt-test", messages=_MESSAGES)
            await client.embeddings.create(model="embed", input=["a"], encoding_format="float")
            await client.responses.create(model="gpt-test", input="x", name="responses")
            await client.completions.create(model="gpt-test", prompt="x", name="completion")

        self.run_with(talk)
        self.assertEqual(self.generation()["output"]["content"], "Hanoi")
        self.assertEqual(self.spool().named("OpenAI-embedding")["output"]["count"], 1)
        self.assertEqual(self.spool().named("responses")["output"]["role"], "assistant")
        self.assertEqual(self.spool().named("completion")["output"], "Hanoi")

    def test_errors(self) -> None:
        async def talk(client: Any) -> None:
            with self.assertRaises(openai.BadRequestError):
                await client.chat.completions.create(model="m", messages=_MESSAGES, user="refused")

        self.run_with(talk)
        self.assertEqual(self.generation()["level"], "ERROR")

    def test_a_stream(self) -> None:
        async def talk(client: Any) -> None:
            stream = await client.chat.completions.create(model="m", messages=_MESSAGES, stream=True)
            self.assertIsInstance(stream, openai.AsyncStream)
            texts = [c.choices[0].delta.content async for c in stream if c.choices]
            self.assertEqual(texts, ["", "Ha", "noi", None])

        self.run_with(talk)
        found = self.generation()
        self.assertEqual((found["output"], found["usage_details"]), ("Hanoi", USAGE))

    def test_a_break(self) -> None:
        async def talk(client: Any) -> None:
            stream = await client.chat.completions.create(
                model="m", messages=_MESSAGES, stream=True, user="endless"
            )
            async for _ in stream:
                break
            self.assertFalse(self.is_open())
            await stream.close()

        self.run_with(talk)
        self.assertEqual(self.generation()["status_message"], "the stream was left before its end")

    def test_close_and_with(self) -> None:
        async def talk(client: Any) -> None:
            stream = await client.chat.completions.create(
                model="m", messages=_MESSAGES, stream=True, user="endless"
            )
            async with stream:
                await stream.__anext__()
                self.assertTrue(self.is_open())
            self.assertFalse(self.is_open())

        self.run_with(talk)

    def test_let_go(self) -> None:
        async def talk(client: Any) -> None:
            stream = await client.chat.completions.create(
                model="m", messages=_MESSAGES, stream=True, user="endless"
            )
            await stream.__anext__()
            self.assertTrue(self.is_open())
            del stream
            gc.collect()
            self.assertFalse(self.is_open())

        self.run_with(talk)

    def test_cancelled(self) -> None:
        self.server.pause = 0.2

        async def talk(client: Any) -> None:
            for arguments in ({"stream": True}, {}):
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(self.read(client, arguments), 0.1 if arguments else 0.0001)

        self.run_with(talk)
        found = [each for each in self.spool().observations().values() if each["type"] == "generation"]
        self.assertEqual(
            [(each["level"], each["status_message"]) for each in found if "end_time" in each],
            [("WARNING", "cancelled")] * len(found),
        )
        self.assertGreaterEqual(len(found), 1)

    async def read(self, client: Any, arguments: dict[str, Any]) -> None:
        answer = await client.chat.completions.create(model="m", messages=_MESSAGES, **arguments)
        if arguments:
            async for _ in answer:
                pass

    def test_many_at_once(self) -> None:
        async def talk(client: Any) -> None:
            async def one(number: int) -> None:
                with get_client().start_as_current_observation(name=f"request {number}"):
                    await self.read(client, {"stream": True})

            await asyncio.gather(*(one(number) for number in range(50)))

        self.run_with(talk)
        observations = self.spool().observations()
        generations = [each for each in observations.values() if each["type"] == "generation"]
        self.assertEqual(len({each["parent_span_id"] for each in generations}), 50)
        self.assertEqual({each["output"] for each in generations}, {"Hanoi"})
