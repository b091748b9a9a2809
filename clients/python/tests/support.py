"""What the tests share: a spool of their own, and what is in it."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import unittest
from unittest import mock

import offpath
from offpath._api.client import reset
from offpath._spool import writer

from .reader import Spool, read_spool

_NAMES = ("LANGFUSE_", "OFFPATH_", "OTEL_")


class SpoolTest(unittest.TestCase):
    """Each test has directories of its own, named by the environment, and a new recorder."""

    def setUp(self) -> None:
        base = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.memory = tempfile.mkdtemp(prefix="offpath-test-", dir=base)
        self.disk = tempfile.mkdtemp(prefix="offpath-test-")
        self.addCleanup(shutil.rmtree, self.memory, True)
        self.addCleanup(shutil.rmtree, self.disk, True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NAMES)}
        names = {"OFFPATH_SPOOL_DIR": self.memory, "OFFPATH_SPOOL_DISK_DIR": self.disk}
        patch = mock.patch.dict(os.environ, {**kept, **names}, clear=True)
        patch.start()
        self.addCleanup(patch.stop)
        # A write to the disk of a busy machine may take 20 ms, and a test is not about that unless it says so.
        patient = mock.patch.object(writer, "_SLOW_WRITE_S", math.inf)
        patient.start()
        self.addCleanup(patient.stop)
        self.addCleanup(reset)
        reset()

    def client(self, **arguments: object) -> offpath.Langfuse:
        return offpath.Langfuse(**arguments)  # type: ignore[arg-type]

    def spool(self) -> Spool:
        return read_spool(self.memory, self.disk)

    def recorded(self, value: object) -> object:
        """What the spool has of a value."""
        with self.subTest(value=type(value).__name__):
            before = len(self.spool().records)
            self.client().start_observation(name="value", input=value).end()
            records = self.spool().records[before:]
            return next(record.get("input") for record in records if record["record"] == "start")
