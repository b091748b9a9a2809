from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import unittest
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server import wait_until

from tests.support import SpoolTest

_MISSING = [
    name for name in ("fastapi", "uvicorn", "httpx", "openai") if importlib.util.find_spec(name) is None
]
if not _MISSING:
    import httpx

_PYTHON = Path(__file__).parents[2]
_ROOT = _PYTHON.parents[1]
_NODE = _ROOT / "node_modules" / ".bin" / "node"
_EXAMPLE = _ROOT / "examples" / "fastapi-chat"
_STREAMS = 200


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(*command: Any, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": str(_PYTHON / "src"), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


@unittest.skipIf(_MISSING, f"{', '.join(_MISSING)} not installed")
@unittest.skipUnless(_NODE.exists(), "the repository's Node is not installed: npm ci")
class FastAPIChat(SpoolTest):
    def serve(self, *simulated: str) -> str:
        """The URL of the chat API, in front of a simulator."""
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        simulator = _ROOT / "examples" / "vllm-simulator" / "main.ts"
        vllm = stack.enter_context(_running(_NODE, simulator, "--port", "0", *simulated))
        assert vllm.stdout is not None
        upstream = json.loads(vllm.stdout.readline())["url"]
        port = _free_port()
        options = ("--app-dir", _EXAMPLE, "--port", port, "--log-level", "warning")
        self.api = stack.enter_context(
            _running(sys.executable, "-m", "uvicorn", "app:app", *options, VLLM_URL=upstream)
        )
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(f"{url}/health"), 20)
        return url

    def traces(self) -> list[tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]]:
        """Root, generation and event of each request. All have ended, and nothing else is there."""
        # A client has its answer a moment before that is recorded.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: all("end_time" in each for each in self.spool().observations().values()), 5)
        spool = self.spool()
        observations = spool.observations()
        self.assertEqual((spool.lost, spool.torn), (0, 0))
        self.assertEqual([each for each in observations.values() if "end_time" not in each], [])
        children: dict[str, dict[str, dict[str, Any]]] = {}
        for each in observations.values():
            if "parent_span_id" in each:
                children.setdefault(each["parent_span_id"], {})[each["name"]] = each
        roots = [each for each in observations.values() if "parent_span_id" not in each]
        self.assertEqual(len(roots) + sum(map(len, children.values())), len(observations))
        return [
            (
                root,
                children[root["span_id"]].get("vllm.chat.completion"),
                children[root["span_id"]]["API_REQUEST_COMPLETE"],
            )
            for root in roots
        ]

    def test_200_streams_at_once_are_all_recorded_whole(self) -> None:
        url = self.serve("--ttft-ms", "100", "--tokens-per-second", "50", "--tokens", "40")

        async def ask(client: Any, number: int) -> str:
            body = {
                "messages": [{"role": "user", "content": f"Question {number}: {'why? ' * 200}"}],
                "stream": True,
                "temperature": 0.2,
                "user": f"u-{number}",
                "session_id": "s-1",
            }
            texts = []
            async with client.stream("POST", f"{url}/api/chat/completions", json=body) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        chunk = json.loads(line[6:])
                        texts += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
                self.assertEqual(line or "data: [DONE]", "data: [DONE]")
            return "".join(texts)

        async def main() -> list[str]:
            limits = httpx.Limits(max_connections=_STREAMS)
            async with httpx.AsyncClient(limits=limits, timeout=60) as client:
                return await asyncio.gather(*(ask(client, number) for number in range(_STREAMS)))

        answers = asyncio.run(main())
        traces = self.traces()
        self.assertEqual(len(traces), _STREAMS)
        self.assertEqual(len({root["trace_id"] for root, _, _ in traces}), _STREAMS)
        for root, generation, event in traces:
            number = int(root["trace"]["user_id"].removeprefix("u-"))
            assert generation is not None
            self.assertEqual(root["trace"]["session_id"], "s-1")
            self.assertEqual((root["output"], generation["output"]), (answers[number], answers[number]))
            self.assertTrue(generation["input"][0]["content"].startswith(f"Question {number}:"))
            self.assertEqual(generation["usage_details"]["completion_tokens"], 40)
            self.assertEqual(generation["model_parameters"]["temperature"], 0.2)
            self.assertGreater(int(generation["completion_start_time"]), int(generation["start_time"]))
            self.assertNotIn("level", root)
            times = event["metadata"]
            self.assertEqual(times["status"], 200)
            self.assertGreaterEqual(times["upstream_ms"], 100)
            self.assertGreaterEqual(times["total_ms"], times["upstream_ms"])

    def test_clients_that_leave(self) -> None:
        url = self.serve("--tokens", "2000", "--tokens-per-second", "100")

        async def main() -> None:
            async def leave(client: Any) -> None:
                body = {"messages": [{"role": "user", "content": "why?"}], "stream": True}
                async with client.stream("POST", f"{url}/api/chat/completions", json=body) as response:
                    async for line in response.aiter_lines():
                        # The first chunk has the role alone.
                        if '"content":"' in line and '"content":""' not in line:
                            return

            async with httpx.AsyncClient(timeout=60) as client:
                await asyncio.gather(*(leave(client) for _ in range(20)))

        asyncio.run(main())
        wait_until(lambda: len(self.spool().of("end")) == 40, 20)
        for root, generation, event in self.traces():
            assert generation is not None
            self.assertEqual((root["level"], event["metadata"]["status"]), ("WARNING", 499))
            self.assertEqual((generation["level"], generation["status_message"]), ("WARNING", "cancelled"))
            self.assertGreater(len(generation["output"]), 0)

    def test_an_upstream_that_fails(self) -> None:
        for fault, status, level in (("503", 502, "ERROR"), ("429", 429, "WARNING")):
            with self.subTest(fault=fault):
                self.doCleanups()
                self.setUp()
                url = self.serve("--fault", fault)
                answer = httpx.post(
                    f"{url}/api/chat/completions",
                    json={"messages": [{"role": "user", "content": "why?"}]},
                )
                self.assertEqual(answer.status_code, status)
                ((root, generation, event),) = self.traces()
                assert generation is not None
                self.assertEqual((root["level"], generation["level"]), (level, "ERROR"))
                self.assertEqual(event["metadata"]["status"], status)

    def test_one_command_with_the_relay(self) -> None:
        relay_port, port = _free_port(), _free_port()
        environment = {"OFFPATH_STORE_DIR": f"{self.disk}/store", "OFFPATH_HTTP_PORT": str(relay_port)}
        with _running(sys.executable, _EXAMPLE / "start.py", PORT=str(port), **environment):
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(f"{url}/health"), 30)
            body = {"messages": [{"role": "user", "content": "why?"}], "stream": True, "user": "u-1"}
            answer = httpx.post(f"{url}/api/chat/completions", json=body)
            self.assertIn("[DONE]", answer.text)

            def stored() -> Any:
                with urllib.request.urlopen(f"http://127.0.0.1:{relay_port}/api/traces") as response:
                    traces = json.load(response)["traces"]
                return traces[0] if traces and traces[0]["observations"] == 3 else None

            wait_until(lambda: (stored() or {}).get("complete"))
            trace = stored()
        self.assertEqual(trace["name"], "api.chat.completions")
        self.assertEqual((trace["userId"], trace["errors"]), ("u-1", 0))
        self.assertGreater(trace["tokens"]["total"], 0)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False
