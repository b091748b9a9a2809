"""The relay as a child of applications: real processes, the real relay, and a server that takes what it delivers."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.request import urlopen

import offpath
from offpath._node import relay_command

HERE = Path(__file__).parent
SECRET = "sk-lf-of-this-test"
PATIENCE_S = 30.0


class Target:
    """An OTLP endpoint that keeps the bodies, or answers 503."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.is_down = False
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if not target.is_down:
                    target.bodies.append(body)
                self.send_response(503 if target.is_down else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def has(self, name: str) -> bool:
        return any(name.encode() in body for body in self.bodies)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class App:
    """relay_app.py, running."""

    def __init__(self, env: dict[str, str], options: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "relay_app.py"), json.dumps(options)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.logs: list[str] = []
        self.started = self.next()

    def next(self) -> dict[str, Any]:
        """What it says next, beside log lines."""
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            assert line, "the application has ended"
            said: dict[str, Any] = json.loads(line)
            if "log" not in said:
                return said
            self.logs.append(said["log"])

    def do(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self.next()

    def end(self) -> int:
        """As an application ends in order."""
        output, _ = self._process.communicate(timeout=PATIENCE_S)
        self.logs += [json.loads(line)["log"] for line in output.splitlines() if '"log"' in line]
        return self._process.returncode

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


@unittest.skipUnless(os.path.isdir("/proc"), "finds the processes by /proc")
class StartRelay(unittest.TestCase):
    def setUp(self) -> None:
        base = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.dir = Path(tempfile.mkdtemp(prefix="offpath-relay-", dir=base))
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.target = Target()
        self.addCleanup(self.target.close)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.dir),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "OFFPATH_SPOOL_DIR": str(self.dir / "spool"),
            "OFFPATH_SPOOL_DISK_DIR": str(self.dir / "disk"),
            "OFFPATH_STORE_DIR": str(self.dir / "store"),
            "OFFPATH_HTTP_PORT": "0",
            "LANGFUSE_BASE_URL": self.target.url,
            "LANGFUSE_PUBLIC_KEY": "pk-lf-of-this-test",
        }
        # All that a test starts has the directory in its environment or its command line.
        self.addCleanup(self.end_all)

    def end_all(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def app(self, **options: Any) -> App:
        return App(self.env, {"langfuse_secret_key": SECRET, **options})

    def processes(self) -> list[int]:
        """Supervisors and relays of this test: those whose command line or environment names its directory."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                with contextlib.suppress(OSError):
                    command = Path(f"/proc/{entry}/cmdline").read_bytes()
                    ours = str(self.dir).encode() in Path(f"/proc/{entry}/environ").read_bytes()
                    if ours and (b"_supervisor.py" in command or b"offpath.js" in command):
                        found.append(int(entry))
        return found

    def relay_pid(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            pid = int(json.loads((self.dir / "store" / "relay.json").read_text())["pid"])
            return pid if pid in self.processes() else None
        return None

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"not in time: {what}")
            time.sleep(0.05)

    def test_it_delivers_and_ends_with_the_application(self) -> None:
        app = self.app()
        self.assertRegex(app.started["url"], r"^http://127\.0\.0\.1:\d+$")
        self.assertEqual(app.started["threads"], 1)
        app.do("record first")
        app.do("record last words")
        self.assertEqual(app.end(), 0)
        # It has waited: nothing runs any more, and all has arrived.
        self.assertEqual(self.processes(), [])
        self.assertTrue(self.target.has("first") and self.target.has("last words"))
        self.assertRegex(app.logs[0], r"^INFO relay: ready url=http")
        self.assertEqual(app.logs[-1], "INFO relay: stopped")

    def test_the_application_is_killed(self) -> None:
        app = self.app()
        app.do("record whole")
        app.do("open interrupted")
        app.kill()
        self.until(lambda: not self.processes(), "supervisor and relay end")
        self.assertTrue(self.target.has("whole") and self.target.has("interrupted"))

    def test_keys_are_on_no_command_line(self) -> None:
        app = self.app()
        self.assertEqual(len(self.processes()), 2)
        for pid in self.processes():
            self.assertNotIn(SECRET.encode(), Path(f"/proc/{pid}/cmdline").read_bytes())
            self.assertIn(SECRET.encode(), Path(f"/proc/{pid}/environ").read_bytes())
        app.end()

    def test_two_applications_have_one_relay_and_the_second_takes_over(self) -> None:
        first = self.app()
        second = self.app()
        self.assertIsNone(second.started["url"])
        self.assertEqual(second.logs, ["INFO another application has the relay; this one waits for its end"])
        relay = self.relay_pid()
        self.assertEqual(len(self.processes()), 3)
        second.do("record from the second")
        self.until(lambda: self.target.has("from the second"), "delivery by the first's relay")

        first.kill()
        self.until(lambda: self.relay_pid() not in (None, relay), "the second's relay")
        second.do("record after the takeover")
        second.end()
        self.assertTrue(self.target.has("after the takeover"))
        self.assertEqual(self.processes(), [])

    def test_the_workers_of_uvicorn_have_one_relay(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "relay_asgi:app", "--app-dir", str(HERE)]
        with subprocess.Popen(
            [*command, "--workers", "2", "--port", str(port), "--log-level", "error"],
            env={**self.env, "TEST_SECRET_KEY": SECRET},
        ) as server:
            # A relay and a supervisor for each worker.
            self.until(lambda: len(self.processes()) == 3, "workers and relay")
            workers: set[str] = set()

            def is_answered_by_both() -> bool:
                with (
                    contextlib.suppress(OSError),
                    urlopen(f"http://127.0.0.1:{port}/asked{len(workers)}") as body,
                ):
                    workers.add(body.read().decode())
                return len(workers) == 2

            self.until(is_answered_by_both, "both workers")
            server.terminate()
            server.wait(PATIENCE_S)
        self.until(lambda: not self.processes(), "supervisors and relay end")
        self.assertTrue(self.target.has("asked0") and self.target.has("asked1"))

    def test_a_relay_that_is_killed_is_started_again(self) -> None:
        app = self.app()
        relay = self.relay_pid()
        assert relay is not None
        os.kill(relay, signal.SIGKILL)
        app.do("record meanwhile")
        self.until(lambda: self.relay_pid() not in (None, relay), "another relay")
        self.until(lambda: self.target.has("meanwhile"), "delivery")
        app.end()
        self.assertIn("WARNING the relay ended with -9; it is started again", app.logs)

    def test_a_supervisor_that_is_killed_is_started_again(self) -> None:
        app = self.app()
        relay = self.relay_pid()
        supervisor = app.started["supervisor"]
        os.kill(supervisor, signal.SIGKILL)

        def is_another() -> bool:
            app.do("record on and on")
            return self.relay_pid() not in (None, relay)

        self.until(is_another, "another relay")
        app.do("record at last")
        app.end()
        self.assertTrue(self.target.has("at last"))
        self.assertIn("WARNING the relay's supervisor was ended; it is started again", app.logs)
        self.assertEqual(self.processes(), [])

    def test_signals_to_the_whole_group_end_no_supervisor(self) -> None:
        app = self.app()
        for pid in self.processes():
            os.kill(pid, signal.SIGTERM)
        app.do("record after SIGTERM")
        self.until(lambda: self.target.has("after SIGTERM"), "delivery")
        app.end()
        self.assertEqual(self.processes(), [])

    def test_a_fork_of_the_application_keeps_the_relay(self) -> None:
        app = self.app()
        child = app.do("fork of the child")
        self.assertNotEqual(child["pid"], app.pid)
        os.kill(app.pid, signal.SIGKILL)
        time.sleep(1)
        app.do("record of the orphan")
        self.assertIsNotNone(self.relay_pid())
        app.kill()
        self.until(lambda: not self.processes(), "the relay ends with the last process")
        self.assertTrue(self.target.has("of the child") and self.target.has("of the orphan"))

    @contextlib.contextmanager
    def relay_beside(self, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """`offpath up`, as it runs beside applications."""
        env = {**self.env, "OFFPATH_LANGFUSE_SECRET_KEY": SECRET, **variables}
        command = [*relay_command(), "up", "--json"]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as relay:
            assert relay.stdout is not None
            self.assertTrue(json.loads(relay.stdout.readline())["ready"])
            yield relay
            relay.terminate()

    def test_a_relay_that_runs_already_is_as_good(self) -> None:
        with self.relay_beside() as relay:
            app = self.app()
            self.assertIsNone(app.started["url"])
            (told,) = app.logs
            self.assertRegex(
                told, "^INFO another relay runs, this one waits for its end: another relay writes to"
            )
            app.do("record for the other")
            self.until(lambda: self.target.has("for the other"), "delivery by the other relay")
            app.end()
            self.assertEqual(self.processes(), [relay.pid])

    def test_a_store_that_another_service_has_is_told_for_nobody_reads_the_spool(self) -> None:
        with self.relay_beside(OFFPATH_SPOOL_DIR=str(self.dir / "other")):
            app = self.app()
            self.assertIsNone(app.started["url"])
            told = "\n".join(app.logs)
            warning = "WARNING relay: offpath: another relay writes to the store .*; stop it, or name another store.dir"
            self.assertRegex(told, warning)
            self.assertNotIn("waits for its end", told)
            app.end()

    def test_the_end_waits_no_longer_than_drain_for_a_target_that_is_down(self) -> None:
        self.target.is_down = True
        app = self.app(drain=0.5)
        app.do("record kept")
        began = time.monotonic()
        app.end()
        self.assertLess(time.monotonic() - began, 0.5 + 5 + 3)
        self.assertEqual(self.processes(), [])
        self.target.is_down = False
        self.app().end()
        self.assertTrue(self.target.has("kept"))

    def test_stop_ends_it_before(self) -> None:
        app = self.app()
        app.do("record before")
        self.assertEqual(app.do("stop"), {"stopped": True})
        self.assertTrue(self.target.has("before"))
        self.assertEqual(self.processes(), [])
        app.do("record after")
        self.assertEqual(app.end(), 0)

    def test_a_configuration_that_is_wrong_is_refused_in_the_relays_words(self) -> None:
        app = self.app(retention_age="soon")
        self.assertRegex(
            app.started["error"], '^OFFPATH_RETENTION_AGE: "soon" is not valid; expected a duration'
        )
        app.end()
        self.assertEqual(self.processes(), [])

    def test_a_port_that_is_taken_is_told_and_tried_again(self) -> None:
        app = self.app(http_port=int(self.target.url.rpartition(":")[2]))
        self.assertIsNone(app.started["url"])
        self.assertRegex("\n".join(app.logs), r"WARNING relay: offpath: port \d+ of 127\.0\.0\.1 is taken")
        app.end()
        self.assertEqual(self.processes(), [])

    def test_nothing_is_started_while_tracing_is_off(self) -> None:
        with mock.patch.dict(os.environ, {**self.env, "OFFPATH_ENABLED": "false"}):
            self.assertIsNone(offpath.start_relay())
        self.assertEqual(self.processes(), [])

    def test_its_options_are_those_of_the_relay(self) -> None:
        table = (HERE.parents[3] / "docs" / "configuration.md").read_text().split("## The SDK")[0]
        names = {
            name.replace("-", "_").replace(".", "_")
            for name in re.findall(r"^\| `([\w-]+\.[\w.-]+)`", table, re.M)
        }
        # Those of a pool are for relays that read no spool.
        others = {"export_drain", "redis_receive"}
        names = {name for name in names if not name.startswith("spool_")} - others
        self.assertEqual(set(inspect.signature(offpath.start_relay).parameters), names | {"drain", "config"})
