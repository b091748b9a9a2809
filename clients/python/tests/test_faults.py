from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import unittest
import warnings
from typing import Any
from unittest import mock

import offpath
from offpath._api.client import reset, session
from offpath._recorder import recorder as recorder_module
from offpath._recorder.vitals import LoopTicker
from offpath._spool import segment as segment_module
from offpath._spool import writer as writer_module

from .reader import read_spool
from .support import SpoolTest

_HERE = os.path.dirname(os.path.abspath(__file__))
_SOURCE = os.path.join(os.path.dirname(_HERE), "src")


class Spools(SpoolTest):
    def test_a_full_spool_in_memory_goes_to_the_disk_and_then_counts(self) -> None:
        os.environ["OFFPATH_SPOOL_CAP"] = "1MB"
        os.environ["OFFPATH_SPOOL_DISK_CAP"] = "1MB"
        reset()
        client = self.client()
        with self.assertWarnsRegex(offpath.OffpathWarning, "OFFPATH_SPOOL_FULL"):
            for i in range(400):
                client.start_observation(name=str(i), input=f"{i} " * 3_000).end()
        stats = client.stats()
        self.assertGreater(stats["lost"]["spool_full"], 0)
        spool = self.spool()
        self.assertEqual(len(spool.observations()) + stats["lost"]["spool_full"], 400)
        tiers = {header["recycled"] for header in spool.headers}
        self.assertEqual(tiers, {True, False} if os.path.isdir("/dev/shm") else {False})
        # A relay makes room: what was lost is recorded, and the ends that went with it.
        for directory in (self.memory, self.disk):
            for name in os.listdir(directory):
                os.unlink(os.path.join(directory, name))
        time.sleep(0.15)
        client.start_observation(name="after").end()
        found = self.spool()
        self.assertEqual(found.of("loss")[-1]["totals"], {"spool_full": stats["lost"]["spool_full"]})
        self.assertTrue(found.named("after"))

    def test_a_warning_is_no_error_of_the_application_where_warnings_are_errors(self) -> None:
        os.chmod(self.memory, 0o777)
        client = self.client()
        with (
            warnings.catch_warnings(),
            self.assertLogs("offpath", "WARNING") as logs,
        ):
            warnings.simplefilter("error")
            client.start_observation(name="on disk").end()
        self.assertIn("OFFPATH_SPOOL_UNSAFE", logs.output[0])
        self.assertIn("end_time", self.spool().named("on disk"))

    def test_an_end_that_was_lost_is_recorded_later(self) -> None:
        client = self.client()
        span = client.start_observation(name="begun")
        recorder = session._recorder
        assert recorder is not None
        writer = recorder._writer
        with (
            mock.patch.object(writer, "append_text", return_value=False),
            mock.patch.object(writer, "append", return_value=False),
            mock.patch.object(writer, "renew", return_value=False),
        ):
            span.end()
        client.start_observation(name="next").end()
        (lost,) = self.spool().of("lost_ends")
        self.assertEqual([end["span_id"] for end in lost["ends"]], [span.id])

    def test_an_end_that_was_lost_is_recorded_at_the_latest_at_the_end(self) -> None:
        client = self.client()
        span = client.start_observation(name="begun")
        recorder = session._recorder
        assert recorder is not None
        with (
            mock.patch.object(recorder._writer, "append_text", return_value=False),
            mock.patch.object(recorder, "_append", return_value=False),
        ):
            span.end()
        self.assertEqual(self.spool().of("lost_ends"), [])
        client.shutdown()
        (lost,) = self.spool().of("lost_ends")
        self.assertEqual([end["span_id"] for end in lost["ends"]], [span.id])

    def test_a_directory_that_others_can_write_to_is_refused(self) -> None:
        os.chmod(self.memory, 0o777)
        os.chmod(self.disk, 0o777)
        client = self.client()
        with self.assertWarnsRegex(offpath.OffpathWarning, "OFFPATH_SPOOL_UNSAFE.*chmod 0700"):
            client.start_observation(name="x").end()
        self.assertEqual(client.stats()["lost"]["no_spool"], 1)
        self.assertEqual(os.listdir(self.memory), [])

    def test_links_and_files_are_no_directories(self) -> None:
        link = os.path.join(self.disk, "link")
        os.symlink(self.memory, link)
        for path in (link, os.path.join(self.disk, "file")):
            if path.endswith("file"):
                open(path, "w").close()
            os.environ["OFFPATH_SPOOL_DIR"] = os.environ["OFFPATH_SPOOL_DISK_DIR"] = path
            reset()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.client().start_observation(name="x").end()
            self.assertIn("is not a directory", str(caught[0].message))

    def test_missing_directories_are_made_private(self) -> None:
        path = os.path.join(self.disk, "a", "b")
        os.environ["OFFPATH_SPOOL_DIR"] = path
        reset()
        self.client().start_observation(name="x").end()
        for made in (path, os.path.dirname(path)):
            self.assertEqual(os.stat(made).st_mode & 0o777, 0o700)
        (name,) = os.listdir(path)
        self.assertEqual(os.stat(os.path.join(path, name)).st_mode & 0o777, 0o600)

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_a_write_that_fails_seals_the_segment(self) -> None:
        os.environ["OFFPATH_SPOOL_DIR"] = self.disk
        reset()
        client = self.client()
        client.start_observation(name="before").end()
        recorder = session._recorder
        assert recorder is not None
        segment: Any = recorder._writer._segment
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, segment._fd)
        os.close(full)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client.start_observation(name="carried").end()
        spool = self.spool()
        self.assertEqual(len(spool.headers), 2)
        self.assertIn("end_time", spool.named("carried"))
        self.assertEqual(sum(client.stats()["lost"].values()), 0)

    def test_a_segment_that_was_deleted_is_left_and_counted(self) -> None:
        client = self.client()
        client.start_observation(name="gone").end()
        recorder = session._recorder
        assert recorder is not None
        for name in os.listdir(self.memory):
            os.unlink(os.path.join(self.memory, name))
        recorder._due_at = 0
        client.start_observation(name="after").end()
        self.assertEqual(client.stats()["lost"]["segment_removed"], 1)
        self.assertEqual(set(each["name"] for each in self.spool().observations().values()), {"after"})

    def test_a_slow_disk_is_given_up_for_a_second(self) -> None:
        os.environ["OFFPATH_SPOOL_DIR"] = self.disk
        reset()
        client = self.client()
        recorder = session._recorder
        assert recorder is not None
        recorder._tiers[0].disk = True
        client.start_observation(name="first").end()
        segment: Any = recorder._writer._segment
        put = type(segment).put

        def slow(*arguments: Any) -> None:
            time.sleep(0.03)
            put(*arguments)

        with (
            mock.patch.object(type(segment), "put", slow),
            mock.patch.object(writer_module, "_SLOW_WRITE_S", 0.02),
        ):
            client.start_observation(name="slow")
            before = time.perf_counter()
            for i in range(10):
                client.start_observation(name=str(i))
        # Or they had waited 0.03 s each.
        self.assertLess(time.perf_counter() - before, 0.2)
        self.assertEqual(client.stats()["lost"]["slow_disk"], 10)

    def test_a_file_that_a_relay_hands_back_is_taken_over(self) -> None:
        client = self.client()
        client.start_observation(name="old").end()
        client.shutdown()
        (name,) = os.listdir(self.memory)
        os.rename(os.path.join(self.memory, name), os.path.join(self.memory, f"{'0' * 16}-00000001.seg.free"))
        client.start_observation(name="new").end()
        spool = self.spool()
        self.assertEqual([each["name"] for each in spool.observations().values()], ["new"])
        self.assertEqual(len(os.listdir(self.memory)), 1)

    @unittest.skipUnless(os.path.isdir("/dev/shm"), "needs a tmpfs")
    def test_files_that_come_back_are_written_through_the_mapping_that_was_kept(self) -> None:
        client = self.client()
        for i in range(300):
            client.start_observation(name=str(i), input=f"{i} " * 10_000).end()
            if i == 299:
                break
            names = sorted(name for name in os.listdir(self.memory) if name.endswith(".seg"))
            for name in names[:-1]:
                os.rename(os.path.join(self.memory, name), os.path.join(self.memory, f"{i:016x}.free"))
        recorder = session._recorder
        assert recorder is not None
        self.assertGreater(recorder._writer._number, 5)
        # Two files, taken in turns.
        self.assertEqual(len(os.listdir(self.memory)), 2)
        self.assertEqual(len(recorder._writer._mappings._kept), 1)
        self.assertEqual(self.spool().named("299")["input"], "299 " * 10_000)
        # One that was deleted is let go.
        for name in os.listdir(self.memory):
            if name.endswith(".free"):
                os.unlink(os.path.join(self.memory, name))
        client.shutdown()
        self.assertEqual(len(recorder._writer._mappings._kept), 1)

    def test_one_warning_when_nobody_reads(self) -> None:
        client = self.client()
        client.start_observation(name="first").end()
        recorder = session._recorder
        assert recorder is not None
        recorder._lease_seen -= 61
        for _ in range(2):
            recorder._due_at = 0
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                client.start_observation(name="more").end()
            expected = ["OFFPATH_NO_RELAY"] if _ == 0 else []
            self.assertEqual([str(each.message)[1:17] for each in caught], expected)

    def test_vitals_once_a_second(self) -> None:
        client = self.client()
        client.start_observation(name="first").end()
        recorder = session._recorder
        assert recorder is not None
        recorder._due_at = 0
        client.start_observation(name="second").end()
        client.shutdown()
        vitals = self.spool().of("vitals")
        self.assertGreaterEqual(len(vitals), 2)
        self.assertEqual(sum(each["observations"] for each in vitals), 2)
        self.assertGreater(vitals[-1]["rss_bytes"], 1_000_000)
        cost = sum(each["recorder_ms"] for each in vitals)
        self.assertGreater(cost, 0)
        # Two calls, of which the first opened the segment.
        self.assertLess(cost, 2.5)

    def test_a_segment_has_its_name_only_when_it_has_its_header(self) -> None:
        """A file of zeros under that name is no segment, and a relay would never look at it again."""
        client = self.client()
        encode = writer_module.encode_header
        seen: list[str] = []

        def look(*arguments: Any) -> bytes:
            seen.extend(os.listdir(self.memory))
            return encode(*arguments)

        with mock.patch.object(writer_module, "encode_header", look):
            client.start_observation(name="x").end()
        self.assertEqual([name[25:] for name in seen], [".seg.claim"])
        self.assertEqual([name[25:] for name in os.listdir(self.memory)], [".seg"])

    @unittest.skipUnless(hasattr(signal, "setitimer"), "needs timers")
    def test_signal_handlers_that_raise(self) -> None:
        """At any instruction: nothing is recorded twice or overwritten, and the recorder goes on."""

        class Interrupt(BaseException):
            pass

        armed = False

        def interrupt(*_: object) -> None:
            nonlocal armed
            if armed:
                # Once: a second one in the midst of the first's consequences is not counted exactly.
                armed = False
                raise Interrupt

        os.environ["OFFPATH_SPOOL_CAP"] = "16MB"
        reset()
        client = self.client()
        recorder = session._recorder
        assert recorder is not None
        known = "known " * 200
        before = signal.signal(signal.SIGALRM, interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.00013)
        complete = set()
        interrupted = 0
        end = time.monotonic() + 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while time.monotonic() < end:
                try:
                    armed = True
                    span = client.start_observation(name="x", input={"a": 1})
                    span.update(output=[known])
                    span.end()
                    complete.add(span.id)
                    armed = False
                except Interrupt:
                    interrupted += 1
                armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.assertGreater(interrupted, 100)
        client.start_observation(name="last").end()
        self.assertEqual(len(recorder._pending), 0)
        stats = client.stats()
        spool = self.spool()
        found = spool.observations()
        begun = [record["span_id"] for record in spool.of("start")]
        self.assertEqual(len(begun), len(set(begun)))
        self.assertEqual(stats["observations"], len(begun) + sum(stats["lost"].values()))
        self.assertEqual((spool.started, spool.lost), (stats["observations"], sum(stats["lost"].values())))
        self.assertLessEqual(complete, {key for key, each in found.items() if "end_time" in each})

    def test_a_signal_handler_that_raises_behind_a_write(self) -> None:
        """What was written is not lost: CPython looks for signals when a call returns, 3.10 also after Python functions."""

        class Interrupt(BaseException):
            pass

        armed = False

        def behind(function: Any) -> Any:
            def call(*arguments: Any) -> Any:
                nonlocal armed
                result = function(*arguments)
                if armed:
                    armed = False
                    raise Interrupt
                return result

            return call

        for directory, owner, name in (
            (self.memory, writer_module.SpoolWriter, "append_text"),
            (self.memory, segment_module.MappedSegment, "put"),
            (self.disk, os, "write"),
        ):
            with self.subTest(name=name), mock.patch.object(owner, name, behind(getattr(owner, name))):
                os.environ["OFFPATH_SPOOL_DIR"] = os.path.join(directory, name)
                reset()
                client = self.client()
                client.start_observation(name="first")
                for text in ("short", "long" * 200):
                    armed = True
                    with contextlib.suppress(Interrupt):
                        client.start_observation(name="interrupted", input=text)
                    armed = False
                client.start_observation(name="last")
                stats, spool = client.stats(), read_spool(os.path.join(directory, name))
                self.assertEqual(sum(stats["lost"].values()), 0)
                names = [record["name"] for record in spool.of("start")]
                self.assertEqual(names, ["first", "interrupted", "interrupted", "last"])
                self.assertEqual((stats["observations"], spool.started, spool.lost), (4, 4, 0))
                self.assertEqual(stats["records"], 4)

    def test_an_event_loop_that_can_not_be_watched(self) -> None:
        class Loop(asyncio.SelectorEventLoop):
            def call_at(self, when: float, callback: Any, *arguments: Any, context: Any = None) -> Any:
                if context is not None:
                    raise TypeError("no contexts here")
                return super().call_at(when, callback, *arguments)

        async def main() -> None:
            self.client().start_observation(name="x").end()

        loop = Loop()
        with self.assertWarnsRegex(offpath.OffpathWarning, "OFFPATH_VITALS"):
            loop.run_until_complete(main())
        loop.close()
        self.assertIn("end_time", self.spool().named("x"))

    def test_loops_of_several_threads_are_watched_one_at_a_time(self) -> None:
        """Each from its own thread; and a loop that is left and watched again has one timer."""
        scheduled: list[tuple[bool, int]] = []

        class Loop(asyncio.SelectorEventLoop):
            def call_at(self, when: float, callback: Any, *arguments: Any, context: Any = None) -> Any:
                if getattr(callback, "__name__", "") == "_tick":
                    scheduled.append((asyncio._get_running_loop() is self, id(self)))
                return super().call_at(when, callback, *arguments, context=context)

        ticker = LoopTicker()
        turn = threading.Barrier(2)

        async def main() -> None:
            for _ in range(10):
                ticker.watch()
                turn.wait()
                await asyncio.sleep(0)
            await asyncio.sleep(0.2)
            # One of the two is watched, by one timer.
            turn.wait()
            scheduled.clear()
            turn.wait()
            await asyncio.sleep(0.3)

        def run() -> None:
            loop = Loop()
            loop.run_until_complete(main())
            loop.close()

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(all(own for own, _ in scheduled))
        self.assertEqual(len({loop for _, loop in scheduled}), 1)
        self.assertLessEqual(len(scheduled), 7)

    def test_a_lost_update_is_told_and_over(self) -> None:
        client = self.client()
        span = client.start_observation(name="x")
        recorder = session._recorder
        assert recorder is not None
        with mock.patch.object(recorder, "_write_with_parts", return_value=False):
            span.update(output={"lost": True})
        self.assertEqual(client.stats()["lost_updates"], 1)
        span.update(output={"lost": False})
        self.assertFalse(recorder._is_loss_untold)

    def test_ends_beyond_what_is_remembered_are_counted(self) -> None:
        client = self.client()
        recorder = session._recorder
        assert recorder is not None
        spans = [client.start_observation(name="x") for _ in range(3)]
        with (
            mock.patch.object(recorder_module, "_MAX_LOST_ENDS", 2),
            mock.patch.object(recorder._writer, "append_text", return_value=False),
            mock.patch.object(recorder, "_append", return_value=False),
        ):
            for span in spans:
                span.end()
        self.assertEqual((len(recorder._lost_ends), client.stats()["lost_updates"]), (2, 1))

    def test_what_comes_while_the_segment_is_ended_is_recorded(self) -> None:
        client = self.client()
        client.start_observation(name="first").end()
        recorder = session._recorder
        assert recorder is not None
        close = recorder._writer.close

        def meanwhile(started: int) -> None:
            recorder._writer.close = close  # type: ignore[method-assign]
            close(started)
            thread = threading.Thread(target=lambda: client.start_observation(name="meanwhile").end())
            thread.start()
            thread.join()

        recorder._writer.close = meanwhile  # type: ignore[method-assign]
        client.shutdown()
        self.assertIn("end_time", self.spool().named("meanwhile"))

    def test_recording_in_the_middle_of_a_write(self) -> None:
        """A signal handler, or a finaliser, that records while a record is written."""
        client = self.client()
        recorder = session._recorder
        assert recorder is not None
        append = recorder._writer.append_text
        nested: list[bool] = []

        def reenter(*arguments: Any) -> bool:
            if not nested:
                nested.append(True)
                client.start_observation(name="nested").end()
            return append(*arguments)

        with mock.patch.object(recorder._writer, "append_text", reenter):
            client.start_observation(name="outer").end()
        self.assertEqual({each["name"] for each in self.spool().observations().values()}, {"outer", "nested"})

    def test_a_loops_delay_is_in_the_vitals(self) -> None:
        client = self.client()

        async def main() -> None:
            client.start_observation(name="a").end()
            await asyncio.sleep(0.06)
            time.sleep(0.12)
            await asyncio.sleep(0.06)
            recorder = session._recorder
            assert recorder is not None
            recorder._due_at = 0
            client.start_observation(name="b").end()

        asyncio.run(main())
        self.assertGreater(max(each["loop_delay_max_ms"] for each in self.spool().of("vitals")), 50)


class Processes(SpoolTest):
    def _names(self) -> dict[str, set[str]]:
        """Observations by writer."""
        found: dict[str, set[str]] = {}
        for name in sorted(os.listdir(self.memory)):
            if name.endswith(".seg"):
                found.setdefault(name[:16], set())
        return found

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_has_its_own_segment(self) -> None:
        client = self.client()
        before = client.start_observation(name="parent's")
        pid = os.fork()
        if pid == 0:
            try:
                # The parent's to end.
                before.update(output="child").end()
                client.start_observation(name="child's").end()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        before.end()
        client.start_observation(name="parent's second").end()
        spool = self.spool()
        self.assertEqual(len({header["writer"] for header in spool.headers}), 2)
        self.assertEqual(len({header["pid"] for header in spool.headers}), 2)
        found = spool.observations()
        self.assertEqual(
            sorted(each["name"] for each in found.values()), ["child's", "parent's", "parent's second"]
        )
        self.assertNotIn("output", found[before.id])

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_fork_while_other_threads_record(self) -> None:
        client = self.client()
        stop = threading.Event()
        made = [0] * 4

        def work(which: int) -> None:
            while not stop.is_set():
                client.start_observation(name="thread").end()
                made[which] += 1

        threads = [threading.Thread(target=work, args=(which,)) for which in range(4)]
        for thread in threads:
            thread.start()
        children = []
        for _ in range(20):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                try:
                    for _ in range(20):
                        client.start_observation(name="child").end()
                finally:
                    os._exit(0)
            children.append(pid)
        statuses = [os.waitpid(pid, 0)[1] for pid in children]
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, [0] * 20)
        counts: dict[str, int] = {}
        for each in self.spool().observations().values():
            self.assertIn("end_time", each)
            counts[each["name"]] = counts.get(each["name"], 0) + 1
        self.assertEqual(counts, {"thread": sum(made), "child": 400})

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_fork_while_another_thread_makes_a_client(self) -> None:
        held, forked = threading.Event(), threading.Event()

        def hold() -> None:
            with session.lock:
                held.set()
                forked.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            offpath.Langfuse().start_observation(name="child's").end()
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        forked.set()
        thread.join()
        self.assertEqual(status, 0)
        self.assertTrue(self.spool().named("child's"))

    @unittest.skipUnless("fork" in multiprocessing.get_all_start_methods(), "needs fork")
    def test_pools_of_processes(self) -> None:
        client = self.client()
        client.start_observation(name="parent").end()
        for method in ("fork", "spawn"):
            context = multiprocessing.get_context(method)
            with context.Pool(2) as pool:
                self.assertEqual(pool.map(_record_one, range(10)), list(range(10)))
                pool.close()
                pool.join()
        found = [each["name"] for each in self.spool().observations().values()]
        self.assertEqual(sorted(found), sorted(["parent", *[str(i) for i in range(10)] * 2]))

    def test_what_was_recorded_survives_a_kill(self) -> None:
        script = (
            "import offpath, sys\n"
            "client = offpath.get_client()\n"
            "i = 0\n"
            "while True:\n"
            "    client.start_observation(name=str(i), input='x' * (i % 2000)).end()\n"
            "    i += 1\n"
            "    if i % 10 == 0: sys.stdout.write(f'{i}\\n'); sys.stdout.flush()\n"
        )
        acknowledged = 0
        kills = 8
        for kill in range(kills):
            child = subprocess.Popen(
                [sys.executable, "-c", script],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": _SOURCE, "OFFPATH_SPOOL_CAP": "512MB"},
            )
            assert child.stdout is not None
            line = "0"
            for _ in range(50 * (kill + 1)):
                line = child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split("\n")
            child.stdout.close()
            child.wait()
            whole = [each for each in rest if each][:-1] or [line]
            acknowledged += int(whole[-1])
        spool = self.spool()
        self.assertGreaterEqual(len(spool.observations()), acknowledged)
        self.assertLessEqual(spool.torn, kills)
        self.assertGreater(acknowledged, kills * 500)

    def test_a_process_that_ends_ends_its_segment(self) -> None:
        script = "import offpath\nwith offpath.get_client().start_as_current_observation(name='x'): pass\n"
        subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": _SOURCE})
        spool = self.spool()
        self.assertEqual(spool.ended, 1)
        self.assertEqual(len(spool.of("vitals")), 1)

    def test_recording_imports_nothing(self) -> None:
        """A child that is forked while another thread imports would wait for that for ever."""
        os.chmod(self.disk, 0o777)
        script = (
            "import offpath, sys, os\n"
            "before = set(sys.modules)\n"
            "os.environ['OFFPATH_SPOOL_DIR'], memory = os.environ['OFFPATH_SPOOL_DISK_DIR'], os.environ['OFFPATH_SPOOL_DIR']\n"
            "os.environ['OFFPATH_SPOOL_DISK_DIR'] = memory\n"
            "with offpath.get_client().start_as_current_observation(name='x', input=['Việt ' * 200, {'b': b'\\xff'}]) as span:\n"
            "    span.update(output=ValueError('x')).create_event(name='e', input='\\ud800' * 600)\n"
            "print(sorted(set(sys.modules) - before))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": _SOURCE},
        )
        self.assertEqual(done.stdout.strip(), "[]")
        self.assertIn("OFFPATH_SPOOL_UNSAFE", done.stderr)
        self.assertTrue(self.spool().named("x"))

    def test_nothing_but_the_standard_library_is_imported(self) -> None:
        script = (
            "import sys; before = set(sys.modules)\n"
            "import offpath\n"
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "print(sorted(new - sys.stdlib_module_names - {'offpath'}))\n"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {_SOURCE!r})\n{script}"],
            check=True,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.stdout.strip(), "[]")


def _record_one(i: int) -> int:
    sys.path.insert(0, _SOURCE)
    client = offpath.get_client()
    client.start_observation(name=str(i)).end()
    return i


# What the tests patch is what the writer uses.
assert hasattr(writer_module, "SpoolWriter")

if __name__ == "__main__":
    unittest.main()
