from __future__ import annotations

import asyncio
import importlib.util
import threading
import unittest
from typing import Any

from offpath import get_client, observe
from tests.support import SpoolTest

_HAS_LANGCHAIN = importlib.util.find_spec("langchain_core") is not None
if _HAS_LANGCHAIN:
    from langchain_core.documents import Document
    from langchain_core.language_models import FakeListLLM, GenericFakeChatModel
    from langchain_core.language_models.fake_chat_models import FakeListChatModel
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import RunnableLambda, RunnableParallel
    from langchain_core.tools import tool

    from offpath.langchain import CallbackHandler

_TRACE = "0af7651916cd43dd8448eb211c80319c"
_SPAN = "b7ad6b7169203331"


class LangChainTest(SpoolTest):
    def setUp(self) -> None:
        super().setUp()
        self.handler = CallbackHandler()
        self.config: Any = {"callbacks": [self.handler]}

    def model(self, *answers: Any) -> Any:
        return GenericFakeChatModel(messages=iter(answers or ["Hanoi is it"]))

    def chain(self, *answers: Any) -> Any:
        prompt = ChatPromptTemplate.from_messages([("system", "Be short."), ("user", "{question}")])
        return prompt | self.model(*answers) | StrOutputParser()

    def by_type(self, as_type: str) -> list[dict[str, Any]]:
        return [each for each in self.spool().observations().values() if each["type"] == as_type]

    def tearDown(self) -> None:
        unended = [each["name"] for each in self.spool().observations().values() if "end_time" not in each]
        self.assertEqual((unended, self.handler._runs), ([], {}))
        self.assertIsNone(get_client().get_current_observation_id())
        super().tearDown()


@unittest.skipUnless(_HAS_LANGCHAIN, "langchain-core not installed")
class Sync(LangChainTest):
    def test_a_chain(self) -> None:
        answer = self.chain().invoke({"question": "Where?"}, self.config)
        self.assertEqual(answer, "Hanoi is it")
        root = self.spool().named("RunnableSequence")
        self.assertEqual(root["type"], "chain")
        self.assertEqual((root["input"], root["output"]), ({"question": "Where?"}, "Hanoi is it"))
        self.assertTrue(root["metadata"]["is_langchain_root"])
        self.assertEqual(self.handler.last_trace_id, root["trace_id"])
        generation = self.spool().named("GenericFakeChatModel")
        self.assertEqual(generation["type"], "generation")
        self.assertEqual(
            generation["input"],
            [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Where?"}],
        )
        self.assertEqual(generation["output"], {"role": "assistant", "content": "Hanoi is it"})
        for name in ("ChatPromptTemplate", "GenericFakeChatModel", "StrOutputParser"):
            self.assertEqual(self.spool().named(name)["parent_span_id"], root["span_id"])

    def test_a_stream_has_the_time_of_its_first_token_once(self) -> None:
        pieces = list(self.chain().stream({"question": "Where?"}, self.config))
        self.assertEqual("".join(pieces), "Hanoi is it")
        generation = self.spool().named("GenericFakeChatModel")
        self.assertEqual(generation["output"]["content"], "Hanoi is it")
        self.assertGreaterEqual(
            int(generation["completion_start_time"]), int(generation["start_time"]) - 1000
        )
        updates = [each for each in self.spool().of("update") if "completion_start_time" in each]
        self.assertEqual(len(updates), 1)
        root = self.spool().named("RunnableSequence")
        self.assertEqual((root["input"], root["output"]), ({"question": "Where?"}, "Hanoi is it"))

    def test_a_stream_that_is_left(self) -> None:
        stream = self.chain().stream({"question": "Where?"}, self.config)
        next(stream)
        stream.close()
        self.assertIn("end_time", self.spool().named("RunnableSequence"))

    def test_usage_model_and_tool_calls(self) -> None:
        call = {"name": "weather", "args": {"city": "Hanoi"}, "id": "call_1", "type": "tool_call"}
        message = AIMessage(
            content="",
            tool_calls=[call],
            response_metadata={"model_name": "gpt-test-1"},
            usage_metadata={
                "input_tokens": 20,
                "output_tokens": 7,
                "total_tokens": 27,
                "input_token_details": {"cache_read": 12},
                "output_token_details": {"reasoning": 3},
            },
        )
        self.model(message).invoke([HumanMessage("x"), ToolMessage("3", tool_call_id="c")], self.config)
        (generation,) = self.by_type("generation")
        self.assertEqual(
            generation["usage_details"],
            {"input": 8, "output": 4, "total": 27, "input_cache_read": 12, "output_reasoning": 3},
        )
        self.assertEqual(generation["model"], "gpt-test-1")
        self.assertEqual(generation["output"]["tool_calls"], [call])
        self.assertEqual(generation["input"][1], {"role": "tool", "content": "3", "tool_call_id": "c"})

    def test_parameters_and_tools_of_a_call(self) -> None:
        @tool
        def weather(city: str) -> str:
            """The weather."""
            return "rain"

        model = self.model().bind(temperature=0.2, tools=[weather])
        model.invoke([SystemMessage("x")], self.config)
        (generation,) = self.by_type("generation")
        self.assertEqual(generation["model_parameters"], {"temperature": 0.2})
        self.assertEqual(generation["input"][1]["content"]["function"]["name"], "weather")

    def test_texts(self) -> None:
        FakeListLLM(responses=["Hanoi"]).invoke("Where?", self.config)
        (generation,) = self.by_type("generation")
        self.assertEqual((generation["input"], generation["output"]), ("Where?", "Hanoi"))
        self.assertNotIn("parent_span_id", generation)

    def test_tools(self) -> None:
        @tool
        def weather(city: str) -> str:
            """The weather."""
            with get_client().start_as_current_observation(name="look up"):
                return f"rain in {city}"

        @tool
        def fails() -> str:
            """Fails."""
            raise ValueError("no such city")

        weather.invoke({"city": "Hanoi"}, self.config)
        found = self.spool().named("weather")
        self.assertEqual((found["type"], found["input"]), ("tool", {"city": "Hanoi"}))
        self.assertEqual(found["output"], "rain in Hanoi")
        self.assertEqual(self.spool().named("look up")["parent_span_id"], found["span_id"])
        with self.assertRaises(ValueError):
            fails.invoke({}, self.config)
        failed = self.spool().named("fails")
        self.assertEqual((failed["level"], failed["status_message"]), ("ERROR", "no such city"))

    def test_a_tool_that_says_that_it_failed(self) -> None:
        @tool
        def fails() -> str:
            """Fails."""
            from langchain_core.tools import ToolException

            raise ToolException("no such city")

        fails.handle_tool_error = True
        call = {"name": "fails", "args": {}, "id": "c", "type": "tool_call"}
        fails.invoke(call, self.config)
        failed = self.spool().named("fails")
        self.assertEqual((failed["level"], failed["status_message"]), ("ERROR", "no such city"))

    def test_retrievers(self) -> None:
        class Shelf(BaseRetriever):
            def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
                if query == "x":
                    raise ValueError("no shelf")
                return [Document(page_content="Hanoi", metadata={"n": 1})]

        Shelf().invoke("Where?", self.config)
        (found,) = self.by_type("retriever")
        self.assertEqual(found["input"], "Where?")
        self.assertEqual(found["output"][0]["page_content"], "Hanoi")
        with self.assertRaises(ValueError):
            Shelf().invoke("x", self.config)
        self.assertEqual(self.by_type("retriever")[1]["status_message"], "no shelf")

    def test_errors(self) -> None:
        def fails(_: Any) -> None:
            raise KeyError("no such question")

        with self.assertRaises(KeyError):
            (RunnableLambda(fails) | self.model()).invoke({}, self.config)
        for each in self.by_type("chain"):
            self.assertEqual((each["level"], each["status_message"]), ("ERROR", "'no such question'"))
        model = FakeListChatModel(responses=["Hanoi"], error_on_chunk_number=1)
        with self.assertRaises(Exception):  # noqa: B017
            list(model.stream("x", self.config))
        (generation,) = self.by_type("generation")
        self.assertEqual((generation["level"], generation["cost_details"]), ("ERROR", {"total": 0}))

    def test_what_ends_a_graph_as_agreed_is_no_error(self) -> None:
        class GraphBubbleUp(Exception):
            pass

        def interrupts(_: Any) -> None:
            raise GraphBubbleUp("wait for a human")

        with self.assertRaises(GraphBubbleUp):
            RunnableLambda(interrupts).invoke({}, self.config)
        (found,) = self.by_type("chain")
        self.assertEqual((found["level"], found["status_message"]), ("DEFAULT", "wait for a human"))

    def test_agents_hidden_runs_and_names(self) -> None:
        RunnableLambda(lambda x: x).invoke(1, {**self.config, "run_name": "Travel agent"})
        RunnableLambda(lambda x: x).invoke(
            1, {**self.config, "run_name": "plain", "tags": ["langsmith:hidden"]}
        )
        self.assertEqual(self.spool().named("Travel agent")["type"], "agent")
        self.assertEqual(self.spool().named("plain")["level"], "DEBUG")

    def test_trace_attributes(self) -> None:
        metadata = {
            "langfuse_session_id": "s-1",
            "langfuse_user_id": "u-1",
            "langfuse_tags": ["a"],
            "langfuse_trace_name": "travel",
            "tenant": "t-1",
        }
        self.chain().invoke({"question": "x"}, {**self.config, "metadata": metadata, "tags": ["b"]})
        for name in ("RunnableSequence", "GenericFakeChatModel"):
            found = self.spool().named(name)
            self.assertEqual(
                found["trace"],
                {
                    "name": "travel",
                    "user_id": "u-1",
                    "session_id": "s-1",
                    "tags": ["a", "b"],
                    "metadata": {"tenant": "t-1"},
                },
            )
            self.assertEqual(found["metadata"]["tenant"], "t-1")
            self.assertNotIn("langfuse_user_id", found["metadata"])

    def test_a_prompt_is_linked_to_the_next_generation_alone(self) -> None:
        prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
        prompt.metadata = {"langfuse_prompt": {"name": "capitals", "version": 3}}
        second = RunnableLambda(lambda text: text) | GenericFakeChatModel(messages=iter(["b"]))
        chain = prompt | self.model("a") | StrOutputParser() | second
        chain.invoke({"question": "x"}, self.config)
        first, last = self.by_type("generation")
        self.assertEqual(first["prompt"], {"name": "capitals", "version": 3})
        self.assertNotIn("prompt", last)
        self.assertNotIn("langfuse_prompt", str(self.spool().records))

    def test_under_the_active_observation_and_a_given_one(self) -> None:
        with get_client().start_as_current_observation(name="root") as root:
            self.model().invoke("x", self.config)
            self.assertEqual(get_client().get_current_observation_id(), root.id)
        self.assertEqual(self.by_type("generation")[0]["parent_span_id"], root.id)
        handler = CallbackHandler(trace_context={"trace_id": _TRACE, "parent_span_id": _SPAN})
        self.model().invoke("x", {"callbacks": [handler]})
        self.assertEqual(self.by_type("generation")[1]["trace_id"], _TRACE)

    def test_branches_in_threads(self) -> None:
        seen: list[str] = []

        @observe()
        def branch(value: Any) -> Any:
            seen.append(threading.current_thread().name)
            return value

        chain = RunnableParallel(a=RunnableLambda(branch), b=RunnableLambda(branch))
        chain.batch([1, 2, 3], self.config)
        observations = self.spool().observations()
        branches = [
            each for each in observations.values() if each["name"] == "branch" and each["type"] == "span"
        ]
        self.assertEqual(len(branches), 6)
        for each in branches:
            run = observations[each["parent_span_id"]]
            self.assertEqual(run["type"], "chain")
            self.assertEqual(observations[run["parent_span_id"]]["name"], "RunnableParallel<a,b>")

    def test_an_answer_that_cannot_be_read_ends_its_generation(self) -> None:
        import uuid

        run = uuid.uuid4()
        self.handler.on_llm_start({}, ["x"], run_id=run)
        with self.assertLogs("offpath", "WARNING"):
            self.handler.on_llm_end("no LLMResult", run_id=run)
        self.assertEqual(self.by_type("generation")[0]["output"], "no LLMResult")


@unittest.skipUnless(importlib.util.find_spec("langgraph"), "langgraph not installed")
class LangGraph(LangChainTest):
    def test_an_interrupted_graph_goes_on_in_its_trace(self) -> None:
        from typing import TypedDict

        from langgraph.checkpoint.memory import InMemorySaver
        from langgraph.graph import END, START, StateGraph
        from langgraph.types import Command, interrupt

        State = TypedDict("State", {"answer": str})  # noqa: UP013
        graph = StateGraph(State)
        graph.add_node("ask", lambda state: {"answer": interrupt("really?")})
        graph.add_edge(START, "ask")
        graph.add_edge("ask", END)
        app = graph.compile(checkpointer=InMemorySaver())
        config = {**self.config, "configurable": {"thread_id": "t-1"}}
        app.invoke({"answer": ""}, config)
        self.assertEqual(app.invoke(Command(resume="yes"), config), {"answer": "yes"})
        first, second = [each for each in self.by_type("chain") if each["name"] == "LangGraph"]
        self.assertEqual(second["trace_id"], first["trace_id"])
        self.assertEqual(second["parent_span_id"], first["span_id"])
        asked = [each for each in self.by_type("chain") if each["name"] == "ask"]
        self.assertEqual([each.get("level") for each in asked], ["DEFAULT", None])
        self.assertEqual(self.handler._interrupted, {})
        # Once alone: the next run of the thread has a trace of its own.
        app.invoke({"answer": ""}, config)
        self.assertNotEqual(self.handler.last_trace_id, first["trace_id"])


@unittest.skipUnless(_HAS_LANGCHAIN, "langchain-core not installed")
class Async(LangChainTest):
    def test_a_chain_runs_inline_and_leaves_no_context_behind(self) -> None:
        threads = set()

        class Watched(CallbackHandler):
            def _start(self, *arguments: Any, **attributes: Any) -> None:
                threads.add(threading.current_thread())
                super()._start(*arguments, **attributes)

            def _end(self, *arguments: Any, **attributes: Any) -> None:
                threads.add(threading.current_thread())
                super()._end(*arguments, **attributes)

        self.handler = Watched()
        self.config = {"callbacks": [self.handler]}

        async def main() -> None:
            with get_client().start_as_current_observation(name="root") as root:
                await self.chain().ainvoke({"question": "x"}, self.config)
                self.assertEqual(get_client().get_current_observation_id(), root.id)
                await self.chain().ainvoke({"question": "x"}, {**self.config, "run_name": "second"})
            self.assertIsNone(get_client().get_current_observation_id())
            self.assertEqual(threads, {threading.main_thread()})

        asyncio.run(main())
        root = self.spool().named("root")
        for name in ("RunnableSequence", "second"):
            self.assertEqual(self.spool().named(name)["parent_span_id"], root["span_id"])
        self.assertEqual(len(self.by_type("generation")), 2)

    def test_a_stream(self) -> None:
        async def main() -> None:
            pieces = [piece async for piece in self.chain().astream({"question": "x"}, self.config)]
            self.assertEqual("".join(pieces), "Hanoi is it")

        asyncio.run(main())
        updates = [each for each in self.spool().of("update") if "completion_start_time" in each]
        self.assertEqual(len(updates), 1)
        self.assertEqual(self.by_type("generation")[0]["output"]["content"], "Hanoi is it")

    def test_what_is_observed_in_a_run_is_under_it(self) -> None:
        @observe()
        async def inner(value: Any) -> Any:
            await asyncio.sleep(0)
            return value

        async def main() -> None:
            await asyncio.gather(
                *(
                    RunnableLambda(inner).ainvoke(n, {**self.config, "run_name": f"run {n}"})
                    for n in range(20)
                )
            )

        asyncio.run(main())
        observations = self.spool().observations()
        spans = [each for each in observations.values() if each["type"] == "span"]
        self.assertEqual(len(spans), 20)
        for span in spans:
            (n,) = span["input"]["args"]
            self.assertEqual(observations[span["parent_span_id"]]["name"], f"run {n}")

    def test_errors_and_cancellation(self) -> None:
        async def fails(_: Any) -> None:
            raise ValueError("no")

        async def waits(_: Any) -> None:
            await asyncio.sleep(10)

        async def main() -> None:
            with self.assertRaises(ValueError):
                await RunnableLambda(fails).ainvoke(1, self.config)
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(RunnableLambda(waits).ainvoke(1, self.config), 0.05)
            await asyncio.sleep(0.01)

        asyncio.run(main())
        self.assertEqual([each["level"] for each in self.by_type("chain")], ["ERROR", "ERROR"])

    def test_stream_events(self) -> None:
        async def main() -> None:
            async for _ in self.chain().astream_events({"question": "x"}, self.config, version="v2"):
                pass

        asyncio.run(main())
        self.assertEqual(self.spool().named("GenericFakeChatModel")["output"]["content"], "Hanoi is it")
