from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import unittest
import warnings
from typing import Any
from unittest import mock

import offpath
from offpath._prompts import cache as cache_module
from offpath._prompts import server as server_module
from offpath.model import ChatPromptClient, TextPromptClient

from .langfuse_server import PUBLIC_KEY, SECRET_KEY, PromptServer
from .prompt_support import STALE_S, TTL_S, PromptTest, refreshing, until


class Fetching(PromptTest):
    def test_a_prompt_has_all_that_the_server_says(self) -> None:
        self.server.add(
            "greeting",
            "Hello {{name}}",
            "production",
            config={"model": "qwen3"},
            tags=["a"],
            commitMessage="first",
        )
        prompt = self.client().get_prompt("greeting")
        self.assertIs(type(prompt), TextPromptClient)
        self.assertEqual((prompt.name, prompt.version, prompt.prompt), ("greeting", 1, "Hello {{name}}"))
        self.assertEqual(prompt.config, {"model": "qwen3"})
        self.assertEqual((prompt.labels, prompt.tags), (["production", "latest"], ["a"]))
        self.assertEqual((prompt.commit_message, prompt.is_fallback), ("first", False))

    def test_a_second_call_is_answered_from_memory(self) -> None:
        self.server.add("greeting", "Hello", "production")
        client = self.client()
        self.assertIs(client.get_prompt("greeting"), client.get_prompt("greeting"))
        self.assertEqual(self.paths(), ["/greeting?label=production"])

    def test_clients_of_a_project_share_what_is_in_memory(self) -> None:
        self.server.add("greeting", "Hello", "production")
        os.environ["OFFPATH_ENABLED"] = "false"
        for _ in range(3):
            # Without tracing each call makes a client.
            self.assertEqual(offpath.get_client().get_prompt("greeting").prompt, "Hello")
        self.assertEqual(len(self.server.requests), 1)

    def test_versions_and_labels_are_apart(self) -> None:
        self.server.add("greeting", "one", "production")
        self.server.add("greeting", "two", "staging")
        client = self.client()
        for _ in range(2):
            self.assertEqual(client.get_prompt("greeting").prompt, "one")
            self.assertEqual(client.get_prompt("greeting", label="staging").prompt, "two")
            self.assertEqual(client.get_prompt("greeting", label="production").prompt, "one")
            self.assertEqual(client.get_prompt("greeting", version=1).prompt, "one")
            self.assertEqual(client.get_prompt("greeting", version=2).prompt, "two")
        self.assertEqual(
            self.paths(),
            [
                "/greeting?label=production",
                "/greeting?label=staging",
                "/greeting?version=1",
                "/greeting?version=2",
            ],
        )
        self.assertEqual(len(self.files()), 4)

    def test_names_with_folders_and_signs(self) -> None:
        name, label = "folder/sub folder/ü?&#%", "a&b"
        self.server.add(name, "found", label)
        self.assertEqual(self.client().get_prompt(name, label=label).prompt, "found")
        self.assertEqual(self.paths(), ["/folder%2Fsub%20folder%2F%C3%BC%3F%26%23%25?label=a%26b"])

    def test_a_chat_prompt_is_one_whatever_type_is_asked_for(self) -> None:
        self.server.add("chat", [{"role": "user", "content": "{{question}}"}], "production")
        prompt: Any = self.client().get_prompt("chat")
        self.assertIs(type(prompt), ChatPromptClient)
        self.assertEqual(prompt.compile(question="why"), [{"role": "user", "content": "why"}])

    def test_a_ttl_of_zero_asks_each_time(self) -> None:
        client = self.client()
        for text in ("one", "two"):
            self.server.add("greeting", text, "production")
            self.assertEqual(client.get_prompt("greeting", cache_ttl_seconds=0).prompt, text)
        self.server.close()
        with self.assertRaises(offpath.PromptError):
            client.get_prompt("greeting", cache_ttl_seconds=0, max_retries=0)
        with self.assertLogs("offpath", "WARNING"):
            prompt = client.get_prompt("greeting", cache_ttl_seconds=0, max_retries=0, fallback="here")
        self.assertEqual((prompt.prompt, prompt.is_fallback), ("here", True))

    def test_headers_are_sent_and_keys_are_not_theirs_to_replace(self) -> None:
        self.server.add("greeting", "Hello", "production")
        client = self.client(additional_headers={"X-Gateway": "inner", "Authorization": "none"})
        self.assertEqual(client.get_prompt("greeting").prompt, "Hello")
        self.assertEqual(self.server.requests[0][2]["X-Gateway"], "inner")

    def test_arguments_that_cannot_be_meant(self) -> None:
        get: Any = self.client().get_prompt
        for arguments, text in (
            ({"name": ""}, "empty"),
            ({"name": "x", "version": 1, "label": "a"}, "one of them"),
            ({"name": "x", "type": "image"}, "'image'"),
            ({"name": "x", "fetch_timeout_seconds": 0}, "more than 0"),
            ({"name": "x", "fallback": ["a"]}, "must be a string"),
            ({"name": "x", "type": "chat", "fallback": "a"}, "list of messages"),
            ({"name": "x", "type": "chat", "fallback": ["a"]}, "role and content"),
        ):
            with self.subTest(text), self.assertRaisesRegex(ValueError, text):
                get(**arguments)
        self.assertEqual(self.server.requests, [])

    def test_concurrent_first_calls_make_one_request(self) -> None:
        self.server.add("greeting", "Hello", "production")
        self.server.gate.clear()
        client = self.client()
        found: list[Any] = []
        threads = [
            threading.Thread(target=lambda: found.append(client.get_prompt("greeting"))) for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        until(lambda: self.server.requests)
        self.server.gate.set()
        for thread in threads:
            thread.join()
        self.assertEqual(len(found), 16)
        self.assertEqual(len(set(map(id, found))), 1)
        self.assertEqual(len(self.server.requests), 1)

    def test_concurrent_first_calls_fail_together(self) -> None:
        self.server.gate.clear()
        self.server.instead = [(503, {}, {})] * 2
        client = self.client()
        errors: list[offpath.PromptError] = []
        others: list[Any] = []

        def work(which: int) -> None:
            try:
                others.append(client.get_prompt("x", max_retries=0, fallback="f" if which % 2 else None))
            except offpath.PromptError as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(which,)) for which in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(self.server.requests) == 1)
        # All the others wait for the one who asks.
        (flight,) = client._prompt_cache._flights.values()
        waiting: Any = flight.done
        until(lambda: len(waiting._cond._waiters) == 7)
        with self.assertLogs("offpath", "WARNING"):
            self.server.gate.set()
            for thread in threads:
                thread.join()
        self.assertEqual(len(set(map(id, errors))), 4)
        self.assertEqual(
            {(error.code, error.status_code) for error in errors}, {("OFFPATH_PROMPT_UNAVAILABLE", 503)}
        )
        self.assertEqual([prompt.prompt for prompt in others], ["f"] * 4)
        self.assertEqual(len(self.server.requests), 1)


class Refreshing(PromptTest):
    def test_a_stale_prompt_is_served_at_once_and_refreshed_behind(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.get_prompt("greeting", cache_ttl_seconds=TTL_S)
        self.server.add("greeting", "two", "production")
        self.server.gate.clear()
        time.sleep(STALE_S)
        # The server does not answer: nobody waits for it, and it is asked once.
        for _ in range(100):
            self.assertEqual(client.get_prompt("greeting").prompt, "one")
        until(lambda: len(self.server.requests) == 2)
        self.assertEqual(len(refreshing()), 1)
        self.assertTrue(refreshing()[0].daemon)
        self.server.gate.set()
        until(lambda: client.get_prompt("greeting").prompt == "two")
        until(lambda: not refreshing())
        self.assertEqual(len(self.server.requests), 2)

    def test_each_prompt_has_its_own_refresh(self) -> None:
        client = self.client()
        for name in ("a", "b"):
            self.server.add(name, name, "production")
            client.get_prompt(name, cache_ttl_seconds=TTL_S)
        self.server.gate.clear()
        time.sleep(STALE_S)
        for name in ("a", "b", "a", "b"):
            client.get_prompt(name)
        until(lambda: len(self.server.requests) == 4)
        self.server.gate.set()

    def test_a_prompt_outlives_its_server(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.get_prompt("greeting", cache_ttl_seconds=TTL_S)
        port = self.server.port
        self.server.close()
        time.sleep(STALE_S)
        with (
            self.assertLogs("offpath", "WARNING") as logged,
            mock.patch.object(cache_module, "RETRY_S", 0.05),
        ):
            for _ in range(3):
                self.assertEqual(client.get_prompt("greeting", cache_ttl_seconds=TTL_S).prompt, "one")
                until(lambda: not refreshing())
                time.sleep(0.06)
        self.assertEqual(len(logged.output), 1, "it is told once")
        again = PromptServer(port)
        self.addCleanup(again.close)
        again.add("greeting", "two", "production")
        until(lambda: client.get_prompt("greeting").prompt == "two")

    def test_after_a_failure_the_server_is_left_alone_for_a_while(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.get_prompt("greeting", cache_ttl_seconds=TTL_S)
        self.server.instead = [(503, {}, {})] * 10
        time.sleep(STALE_S)
        with self.assertLogs("offpath", "WARNING"):
            for _ in range(50):
                self.assertEqual(client.get_prompt("greeting").prompt, "one")
                until(lambda: not refreshing())
        self.assertEqual(len(self.server.requests), 2)

    def test_a_prompt_that_was_deleted_is_let_go(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.get_prompt("greeting", cache_ttl_seconds=TTL_S)
        self.server.prompts.clear()
        time.sleep(STALE_S)
        with self.assertLogs("offpath", "WARNING") as logged:
            self.assertEqual(client.get_prompt("greeting").prompt, "one")
            until(lambda: not refreshing())
        self.assertIn("is let go", logged.output[0])
        self.assertEqual(self.files(), [])
        with self.assertRaises(offpath.PromptError):
            client.get_prompt("greeting")

    def test_inside_a_loop_it_goes_through_the_loops_executor(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.get_prompt("greeting", cache_ttl_seconds=TTL_S)
        self.server.add("greeting", "two", "production")
        time.sleep(STALE_S)

        async def run() -> float:
            self.server.gate.clear()
            longest = 0.0
            self.assertEqual(client.get_prompt("greeting").prompt, "one")
            while len(self.server.requests) < 2:
                before = time.monotonic()
                self.assertEqual(client.get_prompt("greeting").prompt, "one")
                longest = max(longest, time.monotonic() - before)
                await asyncio.sleep(0.001)
            self.assertEqual(refreshing(), [])
            self.server.gate.set()
            while client.get_prompt("greeting").prompt != "two":
                await asyncio.sleep(0.001)
            return longest

        self.assertLess(asyncio.run(run()), 0.5)
        self.assertEqual(len(self.server.requests), 2)
        self.assertEqual([thread for thread in threading.enumerate() if "asyncio" in thread.name], [])

    def test_a_loop_whose_executor_has_gone(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.get_prompt("greeting", cache_ttl_seconds=TTL_S)
        self.server.add("greeting", "two", "production")
        time.sleep(STALE_S)

        async def run() -> None:
            await asyncio.get_running_loop().shutdown_default_executor()
            self.assertEqual(client.get_prompt("greeting").prompt, "one")

        asyncio.run(run())
        until(lambda: client.get_prompt("greeting").prompt == "two")

    def test_no_thread_can_be_started(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.get_prompt("greeting", cache_ttl_seconds=TTL_S)
        time.sleep(STALE_S)
        with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("at shutdown")):
            self.assertEqual(client.get_prompt("greeting").prompt, "one")
        self.assertEqual(client.get_prompt("greeting").prompt, "one")
        until(lambda: len(self.server.requests) == 2)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_fork_while_other_threads_ask(self) -> None:
        self.server.add("greeting", "one", "production")
        self.server.add("other", "first", "production")
        client = self.client()
        client.get_prompt("greeting", cache_ttl_seconds=TTL_S)
        time.sleep(STALE_S)
        self.server.gate.clear()
        client.get_prompt("greeting")
        asking = threading.Thread(target=client.get_prompt, args=("other",))
        asking.start()
        until(lambda: len(self.server.requests) == 3)
        lock = client._prompt_cache._lock
        held, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            with lock:
                held.set()
                let_go.wait(10)

        holding = threading.Thread(target=hold)
        holding.start()
        held.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            code = 1
            # A child that waits for a lock of its parent's would do so for ever.
            signal.alarm(10)
            try:
                # In memory, stale: served, and refreshed by the child itself. Being asked for: asked for by the child.
                assert client.get_prompt("greeting").prompt == "one"
                assert client.get_prompt("other").prompt == "first"
                until(lambda: not refreshing())
                code = 0
            finally:
                os._exit(code)
        let_go.set()
        until(lambda: len(self.server.requests) == 5)
        self.server.gate.set()
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        asking.join()
        holding.join()


class Failing(PromptTest):
    def error(
        self, client: offpath.Langfuse, name: str = "greeting", **arguments: Any
    ) -> offpath.PromptError:
        with self.assertRaises(offpath.PromptError) as caught:
            client.get_prompt(name, **arguments)
        self.assertIn(repr(name), str(caught.exception))
        self.assertNotIn(SECRET_KEY, f"{caught.exception!r} {caught.exception.__dict__}")
        return caught.exception

    def test_what_passes_is_tried_again(self) -> None:
        self.server.add("greeting", "Hello", "production")
        for passing in (
            (503, {}, {}),
            (500, {}, b"<html>"),
            (429, {"Retry-After": "0"}, {}),
            "reset",
            (200, {}, b"<html>"),
        ):
            with self.subTest(passing):
                self.server.requests.clear()
                self.server.instead = [passing] * 2
                client = self.client()
                client.clear_prompt_cache()
                self.assertEqual(client.get_prompt("greeting").prompt, "Hello")
                self.assertEqual(len(self.server.requests), 3)

    def test_retries_have_an_end(self) -> None:
        self.server.instead = [(503, {}, {"message": "later\n\x1b[31m"})] * 100
        client = self.client()
        for retries, requests in ((None, 3), (0, 1), (1, 2), (-5, 1), (100, 5)):
            self.server.requests.clear()
            error = self.error(client, max_retries=retries)
            self.assertEqual(len(self.server.requests), requests)
            self.assertEqual((error.code, error.status_code), ("OFFPATH_PROMPT_UNAVAILABLE", 503))
            self.assertIn(self.server.url, str(error))
            self.assertIn("later", str(error))
            self.assertTrue(str(error).isprintable())

    def test_retry_after_is_waited_for(self) -> None:
        self.server.add("greeting", "Hello", "production")
        self.server.instead = [(429, {"Retry-After": "1"}, {})]
        with mock.patch.object(server_module.time, "sleep") as slept:
            self.client().get_prompt("greeting")
        slept.assert_called_once_with(1.0)
        self.server.instead = [(429, {"Retry-After": "3600"}, {})]
        client = self.new_process()
        client.clear_prompt_cache()
        with mock.patch.object(server_module.time, "sleep") as slept:
            client.get_prompt("greeting")
        slept.assert_called_once_with(10.0)

    def test_what_is_not_there_is_said_at_once(self) -> None:
        error = self.error(self.client(), label="staging")
        self.assertEqual((error.code, error.status_code), ("OFFPATH_PROMPT_NOT_FOUND", 404))
        for part in ("label 'staging'", self.server.url, PUBLIC_KEY, "create_prompt"):
            self.assertIn(part, str(error))
        self.assertEqual(len(self.server.requests), 1)

    def test_keys_that_are_not_taken(self) -> None:
        error = self.error(self.client(secret_key="sk-lf-wrong"))
        self.assertEqual((error.code, error.status_code), ("OFFPATH_PROMPT_KEYS", 401))
        for part in ("LANGFUSE_SECRET_KEY", "LANGFUSE_BASE_URL", self.server.url):
            self.assertIn(part, str(error))
        self.assertNotIn("sk-lf-wrong", str(error))
        self.assertEqual(len(self.server.requests), 1)

    def test_keys_that_are_missing(self) -> None:
        del os.environ["LANGFUSE_SECRET_KEY"]
        error = self.error(self.client())
        self.assertEqual((error.code, error.status_code), ("OFFPATH_PROMPT_KEYS", None))
        with self.assertLogs("offpath", "WARNING"):
            self.assertTrue(self.client().get_prompt("greeting", fallback="f").is_fallback)
        self.assertEqual(self.server.requests, [])

    def test_a_base_url_that_is_none(self) -> None:
        for url in ("file:///etc", "localhost:3000", "ftp://x"):
            error = self.error(self.client(base_url=url))
            self.assertEqual(error.code, "OFFPATH_PROMPT_REFUSED")
            self.assertIn("http://", str(error))
        error = self.error(self.client(base_url="http://user:hunter2@127.0.0.1:no"), max_retries=0)
        self.assertNotIn("hunter2", str(error))

    def test_a_base_url_with_a_path(self) -> None:
        self.server.instead = [(404, {}, b"")]
        error = self.error(self.client(base_url=f"{self.server.url}/langfuse/"))
        self.assertIn("404, and not by Langfuse", str(error))
        self.assertEqual(len(self.server.requests), 1)
        self.assertTrue(self.server.requests[0][1].startswith("/langfuse/api/public/v2/prompts/"))

    def test_redirects_do_not_get_the_keys(self) -> None:
        other = PromptServer()
        self.addCleanup(other.close)
        self.server.instead = [(308, {"Location": f"http://me:pw@127.0.0.1:{other.port}/x?y"}, {})]
        error = self.error(self.client())
        self.assertIn(f"redirects to {other.url}/x (308)", str(error))
        self.assertIn("LANGFUSE_BASE_URL", str(error))
        self.assertEqual(other.requests, [])

    def test_a_server_that_echoes_the_key(self) -> None:
        self.server.instead = [(400, {}, {"message": f"you said {SECRET_KEY}"})]
        error = self.error(self.client())
        self.assertEqual((error.code, error.status_code), ("OFFPATH_PROMPT_REFUSED", 400))
        self.assertIn("you said …", str(error))

    def test_a_server_that_does_not_answer(self) -> None:
        self.server.instead = ["hang", "trickle"]
        client = self.client()
        for _ in range(2):
            before = time.monotonic()
            error = self.error(client, max_retries=0, fetch_timeout_seconds=0.1)
            self.assertIn("no answer within 0.1 s", str(error))
            self.assertLess(time.monotonic() - before, 0.9)
        os.environ["LANGFUSE_TIMEOUT"] = "0.2"
        self.server.instead = ["hang", "hang"]
        self.assertIn("within 0.2 s", str(self.error(self.client(), max_retries=0)))
        self.assertIn("within 0.3 s", str(self.error(self.client(timeout=0.3), max_retries=0)))

    def test_a_fallback_stands_in_and_nobody_waits_again(self) -> None:
        self.server.instead = [(503, {}, {})] * 3
        client = self.client()
        with self.assertLogs("offpath", "WARNING"):
            prompt = client.get_prompt("greeting", fallback="Hi {{name}}", label="staging")
        self.assertEqual((prompt.prompt, prompt.is_fallback, prompt.version), ("Hi {{name}}", True, 0))
        self.assertEqual((prompt.name, prompt.labels, prompt.config), ("greeting", ["staging"], {}))
        self.assertEqual(prompt.compile(name="you"), "Hi you")
        self.assertEqual(len(self.server.requests), 3)
        for text in ("again", "and again"):
            self.assertEqual(client.get_prompt("greeting", fallback=text, label="staging").prompt, text)
        self.assertEqual(len(self.server.requests), 3)
        # Without a fallback there is nothing else to give: the server is asked, and has recovered.
        self.server.add("greeting", "real", "staging")
        self.assertEqual(client.get_prompt("greeting", label="staging").prompt, "real")
        self.assertEqual(client.get_prompt("greeting", fallback="f", label="staging").prompt, "real")

    def test_behind_a_fallback_the_server_is_asked_again(self) -> None:
        self.server.instead = [(503, {}, {})]
        client = self.client()
        with self.assertLogs("offpath", "WARNING"), mock.patch.object(cache_module, "RETRY_S", 0.01):
            client.get_prompt("greeting", fallback="f", max_retries=0)
        self.server.add("greeting", "real", "production")
        until(lambda: client.get_prompt("greeting", fallback="f").prompt == "real")
        self.assertEqual(len(self.server.requests), 2)

    def test_a_fallback_for_a_prompt_that_is_not_there_goes_when_it_is(self) -> None:
        client = self.client()
        with self.assertLogs("offpath", "WARNING"):
            self.assertEqual(client.get_prompt("greeting", fallback="f").prompt, "f")
        self.server.add("greeting", "real", "production")
        self.assertEqual(client.get_prompt("greeting", fallback="f").prompt, "real")

    def test_a_chat_fallback(self) -> None:
        with self.assertLogs("offpath", "WARNING"):
            prompt = self.client().get_prompt(
                "chat", type="chat", fallback=[{"role": "user", "content": "{{question}}"}], version=3
            )
        self.assertEqual((prompt.version, prompt.is_fallback), (3, True))
        self.assertEqual(prompt.compile(question="why"), [{"role": "user", "content": "why"}])


class Writing(PromptTest):
    def test_a_prompt_that_is_created(self) -> None:
        client = self.client()
        made = client.create_prompt(
            name="greeting",
            prompt="Hello {{name}}",
            labels=["production"],
            tags=["t"],
            config={"temperature": 0.5},
            commit_message="why",
        )
        self.assertIs(type(made), TextPromptClient)
        self.assertEqual((made.version, made.config, made.commit_message), (1, {"temperature": 0.5}, "why"))
        method, path, _, body = self.server.requests[0]
        self.assertEqual((method, path), ("POST", "/api/public/v2/prompts"))
        self.assertEqual(
            body,
            {
                "type": "text",
                "name": "greeting",
                "prompt": "Hello {{name}}",
                "labels": ["production"],
                "tags": ["t"],
                "config": {"temperature": 0.5},
                "commitMessage": "why",
            },
        )
        self.assertEqual(client.get_prompt("greeting"), made)

    def test_a_chat_prompt_that_is_created(self) -> None:
        made = self.client().create_prompt(
            name="chat",
            type="chat",
            prompt=[
                {"role": "system", "content": "Be {{manner}}"},
                {"type": "placeholder", "name": "history"},
            ],
        )
        self.assertIs(type(made), ChatPromptClient)
        self.assertEqual(
            self.server.requests[0][3],
            {
                "type": "chat",
                "name": "chat",
                "prompt": [
                    {"role": "system", "content": "Be {{manner}}"},
                    {"type": "placeholder", "name": "history"},
                ],
                "labels": [],
                "config": {},
            },
        )

    def test_labels_that_move(self) -> None:
        client = self.client()
        client.create_prompt(name="folder/greeting", prompt="one", labels=["production"])
        client.create_prompt(name="folder/greeting", prompt="two")
        client.create_prompt(name="other", prompt="other", labels=["production"])
        self.assertEqual(client.get_prompt("folder/greeting").prompt, "one")
        client.get_prompt("other")
        updated = client.update_prompt(name="folder/greeting", version=2, new_labels=["production"])
        self.assertEqual((updated.prompt, updated.labels), ("two", ["latest", "production"]))
        method, path, _, body = self.server.requests[-1]
        self.assertEqual((method, path), ("PATCH", "/api/public/v2/prompts/folder%2Fgreeting/versions/2"))
        self.assertEqual(body, {"newLabels": ["production"]})
        # What was in memory and on disk of this name is forgotten, and of no other.
        self.assertEqual(len(self.files()), 1)
        self.assertEqual(client.get_prompt("folder/greeting").prompt, "two")
        requests = len(self.server.requests)
        client.get_prompt("other")
        self.assertEqual(len(self.server.requests), requests)

    def test_a_cache_that_is_cleared(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.get_prompt("greeting")
        client.clear_prompt_cache()
        self.assertEqual(self.files(), [])
        self.server.add("greeting", "two", "production")
        self.assertEqual(client.get_prompt("greeting").prompt, "two")

    def test_what_was_asked_for_before_is_not_kept_after_a_write(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.get_prompt("greeting", cache_ttl_seconds=TTL_S)
        time.sleep(STALE_S)
        self.server.gate.clear()
        client.get_prompt("greeting")
        until(lambda: len(self.server.requests) == 2)
        (refresh,) = refreshing()
        client.clear_prompt_cache()
        self.server.gate.set()
        refresh.join()
        self.assertEqual(self.files(), [])
        self.server.add("greeting", "two", "production")
        self.assertEqual(client.get_prompt("greeting").prompt, "two")

    def test_writes_that_fail(self) -> None:
        client: Any = self.client()
        self.server.instead = [(400, {}, {"message": "Labels must be lowercase"}), (503, {}, {})]
        with self.assertRaisesRegex(offpath.PromptError, "'x'.*Labels must be lowercase"):
            client.create_prompt(name="x", prompt="y", labels=["UPPER"])
        with self.assertRaises(offpath.PromptError) as caught:
            client.create_prompt(name="x", prompt="y")
        self.assertEqual(caught.exception.code, "OFFPATH_PROMPT_UNAVAILABLE")
        with self.assertRaises(offpath.PromptError) as caught:
            client.update_prompt(name="x", version=4, new_labels=[])
        self.assertEqual(caught.exception.code, "OFFPATH_PROMPT_NOT_FOUND")
        # Each was asked once: a second time could make a second version.
        self.assertEqual(len(self.server.requests), 3)
        for arguments in ({"prompt": ["x"]}, {"prompt": "x", "type": "chat"}, {"prompt": "x", "name": ""}):
            with self.assertRaises(ValueError):
                client.create_prompt(**{"name": "x", **arguments})


class Linking(PromptTest):
    def test_observations_say_which_prompt_they_had(self) -> None:
        self.server.add("greeting", "one")
        self.server.add("greeting", "two", "production")
        client = self.client()
        prompt = client.get_prompt("greeting")
        client.start_observation(name="start", as_type="generation", prompt=prompt).end()
        client.start_observation(name="update", as_type="generation").update(prompt=prompt).end()
        with client.start_as_current_observation(name="current", as_type="generation"):
            client.update_current_generation(prompt=prompt)
        with offpath.propagate_attributes(prompt=prompt):
            client.start_observation(name="propagated", as_type="generation").end()
        spool = self.spool()
        for name in ("start", "update", "current", "propagated"):
            self.assertEqual(spool.named(name)["prompt"], {"name": "greeting", "version": 2}, name)

    def test_a_fallback_links_to_nothing(self) -> None:
        client = self.client()
        with self.assertLogs("offpath", "WARNING"):
            prompt = client.get_prompt("greeting", fallback="f")
        client.start_observation(name="start", as_type="generation", prompt=prompt).update(
            prompt=prompt
        ).end()
        with offpath.propagate_attributes(prompt=prompt):
            client.start_observation(name="propagated", as_type="generation").end()
        for name in ("start", "propagated"):
            self.assertNotIn("prompt", self.spool().named(name))

    def test_no_key_gets_into_the_spool(self) -> None:
        self.server.add("greeting", "one", "production")
        client = self.client()
        client.start_observation(name="x", as_type="generation", prompt=client.get_prompt("greeting")).end()
        for directory in (self.memory, self.disk):
            for folder, _, names in os.walk(directory):
                for name in names:
                    with open(os.path.join(folder, name), "rb") as file:
                        self.assertNotIn(SECRET_KEY.encode(), file.read())


class Settings(PromptTest):
    def test_the_default_ttl(self) -> None:
        self.server.add("greeting", "one", "production")
        os.environ["LANGFUSE_PROMPT_CACHE_DEFAULT_TTL_SECONDS"] = str(TTL_S)
        client = self.client()
        client.get_prompt("greeting")
        self.server.add("greeting", "two", "production")
        time.sleep(STALE_S)
        self.assertEqual(client.get_prompt("greeting").prompt, "one")
        until(lambda: client.get_prompt("greeting").prompt == "two")

    def test_values_that_cannot_be_used(self) -> None:
        os.environ["LANGFUSE_PROMPT_CACHE_DEFAULT_TTL_SECONDS"] = "soon"
        os.environ["LANGFUSE_TIMEOUT"] = "-1"
        with self.assertLogs("offpath", "WARNING") as logged:
            client = self.client()
        self.assertEqual(len(logged.output), 2)
        self.assertEqual((client._prompt_ttl, client._prompt_server._timeout), (60.0, 5.0))

    def test_where_prompts_are_kept(self) -> None:
        del os.environ["OFFPATH_PROMPT_DIR"]
        state = os.path.join(self.disk, "state")
        os.environ["XDG_STATE_HOME"] = state
        self.server.add("greeting", "one", "production")
        self.client().get_prompt("greeting")
        self.assertEqual(len(os.listdir(os.path.join(state, "offpath", "prompts"))), 1)


if __name__ == "__main__":
    unittest.main()
