from __future__ import annotations

import asyncio
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any
from unittest import mock

import offpath
from offpath import (
    ContextThreadPoolExecutor,
    Langfuse,
    get_client,
    in_context,
    propagate_attributes,
    run_in_executor,
)

from .support import SpoolTest


class Observations(SpoolTest):
    def test_a_generation_with_all_that_it_can_have(self) -> None:
        client = self.client()
        generation = client.start_observation(
            name="answer",
            as_type="generation",
            input=[{"role": "user", "content": "hello"}],
            metadata={"a": 1},
            model="qwen3",
            model_parameters={"temperature": 0.2},
            version="v1",
            completion_start_time=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc),
            prompt={"name": "greeting", "version": 3},
        )
        generation.update(
            output="hi", metadata={"b": [None]}, usage_details={"input": 3}, cost_details={"total": 0.5}
        )
        generation.update(level="WARNING", status_message="slow")
        self.assertIs(generation.end(), generation)
        self.assertEqual(
            {
                key: value
                for key, value in self.spool().named("answer").items()
                if key not in ("span_id", "trace_id", "start_time", "end_time")
            },
            {
                "name": "answer",
                "type": "generation",
                "app_root": True,
                "input": [{"role": "user", "content": "hello"}],
                "output": "hi",
                "metadata": {"a": 1, "b": [None]},
                "model": "qwen3",
                "model_parameters": {"temperature": 0.2},
                "version": "v1",
                "completion_start_time": "1767323045678901000",
                "prompt": {"name": "greeting", "version": 3},
                "usage_details": {"input": 3},
                "cost_details": {"total": 0.5},
                "level": "WARNING",
                "status_message": "slow",
            },
        )

    def test_times_are_those_of_the_clock_or_as_given(self) -> None:
        import time

        before = time.time_ns()
        self.client().start_observation(name="now").end()
        after = time.time_ns()
        found = self.spool().named("now")
        slack = 3_000_000
        self.assertLessEqual(before - slack, int(found["start_time"]))
        self.assertLessEqual(int(found["start_time"]), int(found["end_time"]))
        self.assertLessEqual(int(found["end_time"]), after + slack)
        self.client().start_observation(name="given").end(end_time=1_700_000_000_000_000_001)
        self.assertEqual(self.spool().named("given")["end_time"], "1700000000000000001")

    def test_a_model_belongs_to_generations(self) -> None:
        client = self.client()
        client.start_observation(name="tool", as_type="tool").update(model="m", output=1).end()
        with client.start_as_current_observation(name="span"):
            client.update_current_generation(name="", model="m", usage_details={"input": 1})
        self.assertNotIn("model", self.spool().named("tool"))
        found = self.spool().named("span")
        self.assertEqual((found["type"], found["model"]), ("generation", "m"))

    def test_of_an_earlier_error_no_message_stays(self) -> None:
        client = self.client()
        again = client.start_observation(name="again", level="ERROR", status_message="first")
        again.update(level="ERROR").end()
        self.assertEqual(self.spool().named("again")["status"], {"code": 2, "message": ""})

    def test_children_of_what_is_active_and_of_an_observation(self) -> None:
        client = self.client()
        with client.start_as_current_observation(name="root") as root:
            with client.start_as_current_observation(name="inner", as_type="agent"):
                client.start_observation(name="leaf", as_type="tool").end()
            root.start_observation(name="sibling").end()
            self.assertEqual(client.get_current_trace_id(), root.trace_id)
            self.assertEqual(client.get_current_observation_id(), root.id)
        self.assertIsNone(client.get_current_trace_id())
        spool = self.spool()
        parents = {
            name: spool.named(name).get("parent_span_id") for name in ("root", "inner", "leaf", "sibling")
        }
        ids = {name: spool.named(name)["span_id"] for name in parents}
        self.assertEqual(
            parents, {"root": None, "inner": ids["root"], "leaf": ids["inner"], "sibling": ids["root"]}
        )
        self.assertEqual(len({spool.named(name)["trace_id"] for name in parents}), 1)
        self.assertEqual([spool.named(name).get("app_root") for name in parents], [True, None, None, None])

    def test_nothing_changes_what_has_ended(self) -> None:
        span = self.client().start_observation(name="done").end()
        records = len(self.spool().records)
        span.update(output="late").end()
        span.update_trace(user_id="late")
        self.assertEqual(len(self.spool().records), records)

    def test_an_exception_leaves_its_mark_and_goes_on(self) -> None:
        with self.assertRaises(ValueError), self.client().start_as_current_observation(name="failing"):
            raise ValueError("no such thing")
        found = self.spool().named("failing")
        self.assertEqual(found["status"], {"code": 2, "message": "ValueError: no such thing"})
        (event,) = found["events"]
        self.assertEqual(event["name"], "exception")
        self.assertEqual(event["attributes"]["exception.type"], "ValueError")
        self.assertIn("no such thing", event["attributes"]["exception.stacktrace"])
        self.assertIn("end_time", found)

    def test_a_context_manager_can_leave_the_observation_open(self) -> None:
        with self.client().start_as_current_observation(name="open", end_on_exit=False) as span:
            pass
        self.assertNotIn("end_time", self.spool().named("open"))
        span.end()
        self.assertIn("end_time", self.spool().named("open"))

    def test_it_decorates_functions_and_coroutines(self) -> None:
        client = self.client()

        @client.start_as_current_observation(name="each", as_type="tool")
        def double(x: int) -> int:
            client.update_current_span(output=2 * x)
            return 2 * x

        @client.start_as_current_observation(name="awaited")
        async def wait() -> str:
            await asyncio.sleep(0)
            return "waited"

        self.assertEqual([double(1), double(2)], [2, 4])
        self.assertEqual(asyncio.run(wait()), "waited")
        found = list(self.spool().observations().values())
        self.assertEqual([each["name"] for each in found], ["each", "each", "awaited"])
        self.assertEqual([each.get("output") for each in found], [2, 4, None])
        self.assertTrue(all("end_time" in each for each in found))

    def test_a_trace_context_names_trace_and_parent(self) -> None:
        client = self.client()
        trace_id = Langfuse.create_trace_id(seed="order 7")
        self.assertEqual(trace_id, "0fc89f8ae19394b48debd6353bb9ad33")
        client.start_observation(
            name="child", trace_context={"trace_id": trace_id, "parent_span_id": "00f067aa0ba902b7"}
        ).end()
        client.start_observation(name="orphan", trace_context={"trace_id": trace_id}).end()
        with self.assertLogs("offpath", "WARNING"):
            client.start_observation(name="bad", trace_context={"trace_id": "XYZ"}).end()
        spool = self.spool()
        child, orphan, bad = (spool.named(name) for name in ("child", "orphan", "bad"))
        self.assertEqual((child["trace_id"], child["parent_span_id"]), (trace_id, "00f067aa0ba902b7"))
        self.assertEqual((child["app_root"], child["as_root"]), (True, True))
        self.assertRegex(orphan["parent_span_id"], "^[0-9a-f]{16}$")
        self.assertNotEqual(bad["trace_id"], trace_id)
        self.assertNotIn("parent_span_id", bad)

    def test_events_are_points_and_can_not_be_updated(self) -> None:
        client = self.client()
        with client.start_as_current_observation(name="root") as root:
            event = client.create_event(name="cache miss", input={"key": "k"}, level="DEBUG")
            with self.assertLogs("offpath", "WARNING"):
                event.update(output="x")
            root.create_event(name="second")
        first = self.spool().named("cache miss")
        self.assertEqual(first["parent_span_id"], root.id)
        self.assertEqual((first["type"], first["level"]), ("event", "DEBUG"))
        self.assertEqual(first["start_time"], first["end_time"])

    def test_the_starters_of_langfuse_3(self) -> None:
        client = self.client()
        with client.start_as_current_span(name="a") as a:
            client.start_span(name="b", input=1).end()
            client.start_generation(name="c", model="m").end()
            with a.start_as_current_generation(name="d", model="m") as d:
                d.start_span("e").end()
                d.start_generation(name="f").end()
            client.update_current_trace(name="t", user_id="u", tags=["x"], metadata={"k": 1}, public=True)
        spool = self.spool()
        self.assertEqual(
            [spool.named(name)["type"] for name in "abcdef"],
            ["span", "span", "generation", "generation", "span", "generation"],
        )
        self.assertEqual(
            spool.named("a")["trace"],
            {"name": "t", "user_id": "u", "tags": ["x"], "metadata": {"k": 1}, "public": True},
        )

    def test_unsampled_traces_have_ids_and_no_records(self) -> None:
        client = self.client(sample_rate=0.0)
        with client.start_as_current_observation(name="root") as root:
            child = client.start_observation(name="child").end()
        self.assertRegex(root.trace_id, "^[0-9a-f]{32}$")
        self.assertEqual(child.trace_id, root.trace_id)
        self.assertEqual(self.spool().records, [])

    def test_sampling_goes_by_the_trace_id(self) -> None:
        client = self.client(sample_rate=0.5)
        made = [client.start_observation(name=str(i)).end() for i in range(300)]
        kept = set(self.spool().observations())
        for span in made:
            self.assertEqual(span.id in kept, int(span.trace_id[16:], 16) < 2**63)

    def test_a_trace_context_is_sampled_by_its_trace_id(self) -> None:
        """As by Langfuse's sampler, which asks no parent."""
        client = self.client(sample_rate=0.5)
        for trace_id in ("0" * 31 + "1", "f" * 32):
            client.start_observation(name=trace_id[0], trace_context={"trace_id": trace_id}).end()
        self.assertEqual([each["name"] for each in self.spool().observations().values()], ["0"])

    def test_propagated_metadata_refers_to_no_string_of_a_segment(self) -> None:
        client = self.client()
        client.start_observation(name="another's", input="x" * 600, output=b"\xff").end()
        with self.assertLogs("offpath", "WARNING"), client.start_as_current_observation(name="root"):
            long = offpath.propagate_attributes(metadata={"long": ["y" * 600], "bytes": [b"\xff"], "k": 1})
            with long:
                client.start_observation(name="child").end()
        self.assertEqual(self.spool().named("root")["trace"], {"metadata": {"bytes": [b"\xff"], "k": 1}})
        self.assertEqual(
            self.spool().named("child")["trace"],
            {"metadata": {"bytes": ["<not serializable bytes>"], "k": 1}},
        )

    def test_what_can_not_be_propagated_does_not_raise(self) -> None:
        wrong: Any = 5
        with (
            self.assertLogs("offpath", "WARNING"),
            offpath.propagate_attributes(tags=wrong, metadata=wrong, user_id="u"),
        ):
            self.client().start_observation(name="x").end()
        self.assertEqual(self.spool().named("x")["trace"], {"user_id": "u"})

    def test_text_that_can_not_be_had_does_not_raise(self) -> None:
        class Broken:
            def __str__(self) -> str:
                raise RuntimeError("no text")

        broken: Any = Broken()
        span = self.client().start_observation(name="x", as_type="generation", model=broken, version=broken)
        span.update(status_message=broken).end()
        found = self.spool().named("x")
        for field in ("model", "version", "status_message"):
            self.assertEqual(found[field], "<unreadable: RuntimeError>")

    def test_an_exception_without_a_stack_that_can_be_had_is_the_applications_all_the_same(self) -> None:
        class Own(Exception):
            pass

        with (
            mock.patch("traceback.format_exception", side_effect=RuntimeError("no stack")),
            self.assertRaises(Own),
            self.client().start_as_current_observation(name="x"),
        ):
            raise Own
        self.assertIn("end_time", self.spool().named("x"))

    def test_a_mask_sees_input_output_and_metadata(self) -> None:
        client = self.client(mask=lambda *, data: "***" if data == "secret" else data)
        client.start_observation(name="masked", input="secret", metadata="public").update(
            output="secret"
        ).end()
        found = self.spool().named("masked")
        self.assertEqual((found["input"], found["output"], found["metadata"]), ("***", "***", "public"))

        def fails(*, data: object) -> object:
            raise RuntimeError("secret")

        client = self.client(mask=fails)
        with self.assertLogs("offpath", "ERROR") as logs:
            client.start_observation(name="unmasked", input="secret").end()
        self.assertEqual(
            self.spool().named("unmasked")["input"], "<fully masked due to failed mask function>"
        )
        self.assertNotIn("secret", "".join(logs.output))

    def test_keys_are_never_in_the_spool(self) -> None:
        client = self.client(public_key="pk-lf-1234", secret_key="sk-lf-5678")
        client.start_observation(name="x", input="y").end()
        client.shutdown()
        import os

        for name in os.listdir(self.memory):
            with open(os.path.join(self.memory, name), "rb") as file:
                content = file.read()
            self.assertNotIn(b"sk-lf", content)
            self.assertNotIn(b"pk-lf", content)

    def test_disabled_it_works_and_writes_nothing(self) -> None:
        client = self.client(tracing_enabled=False)
        with client.start_as_current_observation(name="root", input={"a": 1}) as root:
            root.update(output="x").end()
            client.create_event(name="e")
        self.assertEqual((root.id, root.trace_id), ("0" * 16, "0" * 32))
        self.assertEqual(self.spool().headers, [])

    def test_a_second_project_needs_a_name(self) -> None:
        first = self.client(public_key="pk-1")
        with self.assertLogs("offpath", "WARNING"):
            second = self.client(public_key="pk-2")
        second.start_observation(name="leak").end()
        named = self.client(public_key="pk-3", project="other")
        named.start_observation(name="named").end()
        first.start_observation(name="first").end()
        with self.assertLogs("offpath", "WARNING"):
            get_client().start_observation(name="whose?").end()
        self.assertIs(get_client(public_key="pk-1"), first)
        found = {each["name"]: each.get("project") for each in self.spool().observations().values()}
        self.assertEqual(found, {"named": "other", "first": None})

    def test_unknown_arguments_are_errors_of_the_caller(self) -> None:
        with self.assertRaises(TypeError):
            self.client().start_as_current_observation(name="x", inputs=1).__enter__()

    def test_what_is_not_tracing_names_langfuse(self) -> None:
        client = self.client()
        with self.assertRaises(AttributeError):
            client.no_such_thing  # noqa: B018
        try:
            import langfuse  # noqa: F401
        except ImportError:
            with self.assertRaisesRegex(NotImplementedError, "pip install langfuse"):
                client.get_dataset("d")

    def test_one_segment_and_no_thread(self) -> None:
        before = threading.active_count()
        client = self.client()
        for i in range(50):
            client.start_observation(name=str(i)).end()
        self.assertEqual(threading.active_count(), before)
        spool = self.spool()
        self.assertEqual(len(spool.headers), 1)
        self.assertEqual(spool.started, 50)
        self.assertTrue(client.flush())
        client.shutdown()
        self.assertEqual(self.spool().ended, 1)
        self.assertEqual(client.stats()["observations"], 50)


class Propagation(SpoolTest):
    def test_attributes_hold_for_what_begins_within_and_for_what_is_active(self) -> None:
        client = self.client()
        with client.start_as_current_observation(name="root"):
            with propagate_attributes(
                user_id="u",
                session_id="s",
                tags=["a"],
                metadata={"m": 1},
                trace_name="t",
                version="2",
                environment="prod",
            ):
                client.start_observation(name="within").end()
                with propagate_attributes(user_id="u2", tags=["b", "a"], metadata={"n": "x"}):
                    client.start_observation(name="deeper").end()
            client.start_observation(name="after").end()
        spool = self.spool()
        outer = {"user_id": "u", "session_id": "s", "tags": ["a"], "metadata": {"m": 1}, "name": "t"}
        self.assertEqual(spool.named("within")["trace"], outer)
        self.assertEqual(
            (spool.named("within")["version"], spool.named("within")["environment"]), ("2", "prod")
        )
        inner = {**outer, "user_id": "u2", "tags": ["a", "b"], "metadata": {"m": 1, "n": "x"}}
        self.assertEqual(spool.named("deeper")["trace"], inner)
        self.assertNotIn("trace", spool.named("after"))
        self.assertEqual(spool.named("root")["trace"]["user_id"], "u2")

    def test_what_langfuse_would_refuse_is_dropped_with_a_warning(self) -> None:
        client = self.client()
        with (
            self.assertLogs("offpath", "WARNING") as logs,
            propagate_attributes(
                user_id="x" * 201,
                session_id=7,  # type: ignore[arg-type]
                tags=["ok", "y" * 201],
                metadata={"long": "z" * 201, "fine": True},
                environment="Langfuse!",
            ),
        ):
            client.start_observation(name="kept").end()
        self.assertEqual(len(logs.output), 5)
        found = self.spool().named("kept")
        self.assertEqual(found["trace"], {"tags": ["ok"], "metadata": {"fine": True}})
        self.assertNotIn("environment", found)

    def test_a_prompt_links_and_a_fallback_does_not(self) -> None:
        client = self.client()
        with propagate_attributes(prompt={"name": "p", "version": 2}):
            client.start_observation(name="linked").end()
        with propagate_attributes(prompt={"name": "p", "version": 2, "is_fallback": True}):
            client.start_observation(name="fallback").end()
        self.assertEqual(self.spool().named("linked")["prompt"], {"name": "p", "version": 2})
        self.assertNotIn("prompt", self.spool().named("fallback"))

    def test_it_decorates(self) -> None:
        client = self.client()

        @propagate_attributes(user_id="u")
        async def handle() -> None:
            client.start_observation(name="decorated").end()

        asyncio.run(handle())
        self.assertEqual(self.spool().named("decorated")["trace"], {"user_id": "u"})


class Contexts(SpoolTest):
    def test_tasks_have_their_own(self) -> None:
        client = self.client()

        async def request(name: str) -> None:
            with client.start_as_current_observation(name=name):
                await asyncio.sleep(0.001)
                client.start_observation(name=f"{name}/child").end()

        async def main() -> None:
            await asyncio.gather(*(request(f"r{i}") for i in range(20)))

        asyncio.run(main())
        spool = self.spool()
        for i in range(20):
            self.assertEqual(spool.named(f"r{i}/child")["parent_span_id"], spool.named(f"r{i}")["span_id"])

    def test_threads_with_and_without_help(self) -> None:
        client = self.client()

        def work(name: str) -> None:
            client.start_observation(name=name).end()

        async def in_loop() -> None:
            await run_in_executor(None, work, "loop")

        with client.start_as_current_observation(name="root") as root:
            with ThreadPoolExecutor(1) as plain:
                plain.submit(work, "plain").result()
                plain.submit(in_context(work), "bound").result()
            with ContextThreadPoolExecutor(1) as pool:
                pool.submit(work, "pool").result()
                list(pool.map(work, ["mapped"]))
            thread = threading.Thread(target=in_context(work), args=("thread",))
            thread.start()
            thread.join()
            asyncio.run(in_loop())
        spool = self.spool()
        for name in ("bound", "pool", "mapped", "thread", "loop"):
            self.assertEqual(spool.named(name)["parent_span_id"], root.id, name)
        self.assertNotIn("parent_span_id", spool.named("plain"))

    def test_leaving_in_another_context_is_no_error(self) -> None:
        client = self.client()

        async def stream() -> object:
            with client.start_as_current_observation(name="stream"):
                yield 1
                yield 2

        async def main() -> None:
            generator = stream()
            await asyncio.create_task(generator.__anext__())  # type: ignore[attr-defined]
            # A client's disconnect: closed by another task than the one that began it.
            await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]

        asyncio.run(main())
        self.assertIn("end_time", self.spool().named("stream"))

    def test_many_threads_lose_nothing(self) -> None:
        client = self.client()

        def work(which: int) -> None:
            for i in range(200):
                span = client.start_observation(name=f"{which}/{i}", input="x" * (600 if i % 7 == 0 else 20))
                span.update(output=i).end()

        threads = [threading.Thread(target=work, args=(which,)) for which in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spool = self.spool()
        found = spool.observations()
        self.assertEqual(len(found), 1600)
        self.assertEqual(spool.started, 1600)
        self.assertTrue(all("end_time" in each and "output" in each for each in found.values()))


if __name__ == "__main__":
    unittest.main()
