from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import unittest
import warnings
from collections.abc import Callable
from unittest import mock

import offpath
from offpath._prompts import cache as cache_module

from .langfuse_server import SECRET_KEY
from .prompt_support import SOURCE, PromptTest, until


class OnDisk(PromptTest):
    def filled(self, text: str = "one") -> offpath.Langfuse:
        """A new process with a copy on disk."""
        self.server.add("greeting", text, "production", config={"model": "qwen3"}, tags=["t"])
        self.client().get_prompt("greeting")
        return self.new_process()

    def test_a_process_that_starts_while_the_server_is_down(self) -> None:
        self.filled()
        self.server.close()
        script = (
            "import offpath\n"
            "for _ in range(2):\n"
            "    prompt = offpath.get_client().get_prompt('greeting', fallback='not this')\n"
            "    print(prompt.prompt, prompt.is_fallback, prompt.config, prompt.labels, prompt.tags)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": SOURCE},
            capture_output=True,
            text=True,
            check=True,
        )
        line = "one False {'model': 'qwen3'} ['production', 'latest'] ['t']\n"
        self.assertEqual(done.stdout, line * 2)
        self.assertEqual(done.stderr.count("OffpathWarning: [OFFPATH_PROMPT_STALE]"), 1)
        for part in ("'greeting'", "label 'production'", self.server.url, "Until then the copy of 20"):
            self.assertIn(part, done.stderr)
        self.assertNotIn(SECRET_KEY, done.stderr)

    def test_the_server_is_asked_first_and_once(self) -> None:
        client = self.filled()
        self.server.add("greeting", "two", "production")
        self.assertEqual(client.get_prompt("greeting").prompt, "two")
        client = self.new_process()
        self.server.requests.clear()
        self.server.instead = [(503, {}, {})]
        with self.assertWarns(offpath.OffpathWarning), mock.patch.object(cache_module, "RETRY_S", 0.01):
            self.assertEqual(client.get_prompt("greeting").prompt, "two")
        self.server.add("greeting", "three", "production")
        until(lambda: client.get_prompt("greeting").prompt == "three")
        self.assertEqual(len(self.server.requests), 2)

    def test_what_the_server_says_for_certain_goes_before_the_copy(self) -> None:
        client = self.filled()
        self.server.instead = [(401, {}, {})]
        with self.assertRaises(offpath.PromptError) as caught:
            client.get_prompt("greeting")
        self.assertEqual(caught.exception.code, "OFFPATH_PROMPT_KEYS")
        self.assertEqual(len(self.files()), 1)
        self.server.prompts.clear()
        with self.assertRaises(offpath.PromptError) as caught:
            client.get_prompt("greeting")
        self.assertEqual(caught.exception.code, "OFFPATH_PROMPT_NOT_FOUND")
        self.assertEqual(self.files(), [])

    def test_a_404_of_a_proxy_says_nothing_of_the_prompt(self) -> None:
        client = self.filled()
        self.server.instead = [(404, {}, b"default backend - 404")]
        with self.assertWarnsRegex(offpath.OffpathWarning, "OFFPATH_PROMPT_STALE.*not by Langfuse"):
            self.assertEqual(client.get_prompt("greeting").prompt, "one")
        self.assertEqual(len(self.files()), 1)

    def test_directory_and_files_are_private_and_have_no_key(self) -> None:
        mask = os.umask(0)
        self.addCleanup(os.umask, mask)
        self.filled()
        self.assertEqual(os.stat(self.directory).st_mode & 0o777, 0o700)
        (path,) = self.files()
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path) as file:
            text = file.read()
        self.assertNotIn(SECRET_KEY, text)
        data = json.loads(text)
        self.assertEqual(
            (data["server"], data["name"], data["label"]), (self.server.url, "greeting", "production")
        )

    def test_other_keys_and_servers_have_their_own(self) -> None:
        self.filled()
        other = self.client(public_key="pk-lf-other", secret_key="x", tracing_enabled=False)
        self.server.instead = [(503, {}, {})]
        with self.assertRaises(offpath.PromptError):
            other.get_prompt("greeting", max_retries=0)
        port = self.server.port
        elsewhere = self.client(base_url=f"http://localhost:{port}")
        self.server.close()
        with self.assertRaises(offpath.PromptError):
            elsewhere.get_prompt("greeting", max_retries=0)

    def test_files_that_are_not_what_they_should_be_are_ignored(self) -> None:
        self.filled()
        (path,) = self.files()
        with open(path) as file:
            good = json.load(file)

        def put(text: str) -> Callable[[], None]:
            def write() -> None:
                with open(path, "w") as file:
                    file.write(text)

            return write

        def link() -> None:
            put(json.dumps(good))()
            os.rename(path, f"{path}.elsewhere")
            os.symlink(f"{path}.elsewhere", path)

        def pipe() -> None:
            os.unlink(path)
            os.mkfifo(path)

        def writable() -> None:
            os.unlink(path)
            put(json.dumps(good))()
            os.chmod(path, 0o666)

        self.server.instead = [(503, {}, {})] * 100
        cases: dict[str, Callable[[], None]] = {
            "cut": put(json.dumps(good)[:-20]),
            "empty": put(""),
            "a list": put("[]"),
            "binary": put("\x00\x01"),
            "deep": put("[" * 100_000),
            "another format": put(json.dumps({**good, "format": 2})),
            "another server's": put(json.dumps({**good, "server": "https://cloud.langfuse.com"})),
            "another project's": put(json.dumps({**good, "public_key": "0" * 32})),
            "another label's": put(json.dumps({**good, "label": "staging"})),
            "another name's": put(json.dumps({**good, "prompt": {**good["prompt"], "name": "x"}})),
            "no prompt": put(json.dumps({**good, "prompt": {"name": "greeting", "version": 1}})),
            "no time": put(json.dumps({**good, "fetched_at": "now"})),
            "a link": link,
            "a pipe": pipe,
            "writable by others": writable,
        }
        for case, make in cases.items():
            with self.subTest(case):
                make()
                client = self.new_process()
                with (
                    self.assertWarnsRegex(
                        offpath.OffpathWarning, "OFFPATH_PROMPT_CACHE.*'greeting'.*is ignored"
                    ),
                    self.assertRaises(offpath.PromptError),
                ):
                    client.get_prompt("greeting", max_retries=0)
        # It is replaced by the next one that is fetched.
        self.server.instead.clear()
        self.assertEqual(client.get_prompt("greeting").prompt, "one")
        client = self.new_process()
        self.server.close()
        with self.assertWarnsRegex(offpath.OffpathWarning, "OFFPATH_PROMPT_STALE"):
            self.assertEqual(client.get_prompt("greeting").prompt, "one")

    def test_a_directory_that_others_can_write_to_is_not_used(self) -> None:
        client = self.filled()
        os.chmod(self.directory, 0o770)
        self.server.instead = [(503, {}, {})]
        with (
            self.assertWarnsRegex(offpath.OffpathWarning, "prompt directory .* by its group"),
            self.assertRaises(offpath.PromptError),
        ):
            client.get_prompt("greeting", max_retries=0)
        with self.assertWarnsRegex(offpath.OffpathWarning, "cannot be kept.*OFFPATH_PROMPT_DIR"):
            self.assertEqual(client.get_prompt("greeting").prompt, "one")

    def test_a_directory_that_cannot_be_made(self) -> None:
        with open(self.directory, "w"):
            pass
        self.server.add("a", "a", "production")
        self.server.add("b", "b", "production")
        client = self.client()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.assertEqual(client.get_prompt("a").prompt + client.get_prompt("b").prompt, "ab")
        self.assertEqual(len(caught), 1)
        self.assertIn("cannot be kept", str(caught[0].message))

    def test_warnings_that_are_errors_leave_the_prompt(self) -> None:
        client = self.filled()
        self.server.instead = [(503, {}, {})]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with self.assertLogs("offpath", "WARNING"):
                self.assertEqual(client.get_prompt("greeting").prompt, "one")
            self.assertEqual(client.get_prompt("greeting").prompt, "one")

    def test_what_nobody_asked_for_in_months_goes(self) -> None:
        client = self.filled()
        old = time.time() - 100 * 24 * 3600
        (path,) = self.files()
        os.utime(path, (old, old))
        others = os.path.join(self.directory, "notes.txt")
        with open(others, "w"):
            pass
        os.utime(others, (old, old))
        self.server.add("other", "x", "production")
        client.get_prompt("other")
        self.assertNotIn(path, self.files())
        self.assertEqual(len(self.files()), 2)
        self.assertIn(others, self.files())

    def test_processes_that_write_the_same_prompt(self) -> None:
        self.server.add("greeting", "x" * 100_000, "production")
        script = (
            "import offpath\n"
            "for _ in range(30): offpath.get_client().get_prompt('greeting', cache_ttl_seconds=0)\n"
        )
        children = [
            subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": SOURCE})
            for _ in range(3)
        ]
        read = 0
        while any(child.poll() is None for child in children):
            if os.path.isdir(self.directory):
                for path in [path for path in self.files() if path.endswith(".json")]:
                    with open(path) as file:
                        self.assertEqual(len(json.load(file)["prompt"]["prompt"]), 100_000)
                    read += 1
        self.assertGreater(read, 0)
        self.assertEqual([child.returncode for child in children], [0, 0, 0])
        self.assertEqual(len(self.files()), 1)


if __name__ == "__main__":
    unittest.main()
