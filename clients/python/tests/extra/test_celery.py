from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.support import SpoolTest

_HAS_CELERY = importlib.util.find_spec("celery") is not None
if _HAS_CELERY:
    from billiard.exceptions import WorkerLostError
    from celery_queue import queue

_HERE = os.path.dirname(os.path.abspath(__file__))
_CHILDREN = 2
_TASKS = 40
_TIMEOUT_S = 60


@unittest.skipUnless(_HAS_CELERY, "celery not installed")
class CeleryPrefork(SpoolTest):
    """The parent of the pool has recorded before it forks."""

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="offpath-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.queue = queue(self.folder)
        self.addCleanup(self.queue.close)

    @contextlib.contextmanager
    def worker(self, *options: str) -> Iterator[int]:
        """Its parent's process id. At the end it finishes what it has."""
        command = [sys.executable, "-m", "celery", "--app", "celery_app", "worker"]
        command += ["--pool", "prefork", "--concurrency", str(_CHILDREN), *options, "--loglevel", "CRITICAL"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        path = os.pathsep.join([_HERE, *map(os.path.abspath, sys.path)])
        worker = subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "QUEUE_FOLDER": self.folder},
        )
        try:
            yield worker.pid
        finally:
            worker.send_signal(signal.SIGTERM)
            try:
                worker.wait(_TIMEOUT_S)
            finally:
                worker.kill()

    def answers(self, count: int) -> Counter[int]:
        """How many of the tasks each child did, by its process id."""
        results = [self.queue.send_task("answer", (f"q{i}",)) for i in range(count)]
        return Counter(result.get(_TIMEOUT_S) for result in results)

    def check(self, parent: int, done: Counter[int]) -> None:
        spool = self.spool()
        found = list(spool.observations().values())
        self.assertEqual(spool.torn, 0)
        by_name: dict[str, list[dict[str, Any]]] = {}
        for each in found:
            by_name.setdefault(each["name"], []).append(each)
        self.assertEqual(len(by_name["loaded"]), 1)
        self.assertEqual(
            [("end_time" in each, "output" in each) for each in by_name["inherited"]], [(False, False)]
        )
        tasks = {each["span_id"]: each for each in by_name["task"]}
        self.assertEqual(
            Counter(each["input"] for each in tasks.values()), Counter(f"q{i}" for i in range(done.total()))
        )
        self.assertTrue(all("end_time" in each for each in tasks.values()))
        generations = [each for each in by_name["generate"] if each["parent_span_id"] in tasks]
        self.assertEqual(len(generations), done.total())
        for each in generations:
            question = tasks[each["parent_span_id"]]["input"]
            self.assertEqual((each["output"], each["input"][1]), (question.upper(), question))
            self.assertEqual(each["input"][0], by_name["loaded"][0]["input"])
            self.assertIn("end_time", each)
        self.assertEqual(Counter(each["metadata"]["pid"] for each in generations), done)
        # A segment for each process that recorded, of a writer of its own.
        pids = [header["pid"] for header in spool.headers]
        self.assertEqual(set(pids) - set(done), {parent})
        self.assertEqual(len(pids), len(set(pids)))
        self.assertEqual(len({header["writer"] for header in spool.headers}), len(pids))

    def test_each_child_has_its_own_segment(self) -> None:
        with self.worker() as parent:
            done = self.answers(_TASKS)
        self.assertEqual(len(done), _CHILDREN)
        self.check(parent, done)

    def test_a_child_that_ends_after_its_task_leaves_it_complete(self) -> None:
        with self.worker("--max-tasks-per-child", "1") as parent:
            done = self.answers(8)
        self.assertEqual(len(done), 8)
        self.check(parent, done)

    def test_a_child_that_is_killed_leaves_what_it_did(self) -> None:
        with self.worker(), self.assertRaises(WorkerLostError):
            self.queue.send_task("die").get(_TIMEOUT_S)
        spool = self.spool()
        self.assertNotIn("end_time", spool.named("task"))
        generation = spool.named("generate")
        self.assertEqual((generation["output"], "end_time" in generation), ("BEFORE", True))


if __name__ == "__main__":
    unittest.main()
