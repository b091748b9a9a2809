from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

from tests.support import SpoolTest

_HERE = os.path.dirname(os.path.abspath(__file__))
_WORKERS = 2
_REQUESTS = 60


@unittest.skipUnless(importlib.util.find_spec("gunicorn"), "needs gunicorn")
class Gunicorn(SpoolTest):
    def test_each_worker_has_its_own_segment_also_when_the_application_was_preloaded(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--preload",
            "--workers",
            str(_WORKERS),
            "--threads",
            "4",
        ]
        command += ["--bind", f"127.0.0.1:{port}", "--log-level", "error", "gunicorn_app:app"]
        # It keeps a socket in the home directory.
        path = os.pathsep.join([_HERE, *map(os.path.abspath, sys.path)])
        server = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path, "HOME": self.disk})
        try:
            self._ask(port, "/warm")
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda i: self._ask(port, f"/r{i}"), range(_REQUESTS)))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
        self.assertEqual(answers, [f"/R{i}" for i in range(_REQUESTS)])
        spool = self.spool()
        found = list(spool.observations().values())
        names = [each["name"] for each in found]
        self.assertEqual(names.count("loaded"), 1)
        self.assertEqual(names.count("request"), _REQUESTS + 1)
        self.assertEqual(names.count("answer"), _REQUESTS + 1)
        self.assertTrue(all("end_time" in each for each in found))
        workers = {each["metadata"]["pid"] for each in found if each["name"] == "answer"}
        self.assertEqual({header["pid"] for header in spool.headers} - {server.pid}, workers)
        self.assertEqual(len({header["writer"] for header in spool.headers}), len(workers) + 1)

    @staticmethod
    def _ask(port: int, path: str) -> str:
        for _ in range(100):
            try:
                with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
                    return str(response.read().decode())
            except OSError:
                time.sleep(0.05)
        raise AssertionError("gunicorn does not answer")


if __name__ == "__main__":
    unittest.main()
