"""A Langfuse server with prompts, and a client of it, for the tests of prompts."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import offpath
from offpath._api.client import reset
from offpath._prompts import server as server_module

from .langfuse_server import PUBLIC_KEY, SECRET_KEY, PromptServer
from .support import SpoolTest

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")
#: So short that what comes after a `time.sleep(STALE_S)` is stale.
TTL_S = 0.01
STALE_S = 0.02


def until(is_so: Callable[[], Any], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)


def refreshing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "offpath-prompt"]


class PromptTest(SpoolTest):
    def setUp(self) -> None:
        super().setUp()
        self.directory = os.path.join(self.disk, "prompts")
        self.server = PromptServer()
        self.addCleanup(self.server.close)
        os.environ.update(
            OFFPATH_PROMPT_DIR=self.directory,
            LANGFUSE_BASE_URL=self.server.url,
            LANGFUSE_PUBLIC_KEY=PUBLIC_KEY,
            LANGFUSE_SECRET_KEY=SECRET_KEY,
        )
        # Retries wait as long as they do, and no longer than a test can.
        patch = mock.patch.object(server_module, "_FIRST_DELAY_S", 0.001)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(lambda: until(lambda: not refreshing()))

    def new_process(self) -> offpath.Langfuse:
        """What a new process has: nothing in memory."""
        reset()
        return self.client()

    def paths(self) -> list[str]:
        return [path.removeprefix("/api/public/v2/prompts") for _, path, _, _ in self.server.requests]

    def files(self) -> list[str]:
        return sorted(os.path.join(self.directory, name) for name in os.listdir(self.directory))
