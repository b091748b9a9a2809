"""Which prompt a caller gets, and when the server is asked.

    none in memory    the server is asked, and the caller waits; who asks for the same meanwhile waits with it
    fresh             from memory
    stale             from memory, at once; the server is asked behind, once at a time
    server is down    what is in memory, else the copy on disk, else the caller's fallback, else an error

A prompt that is to be used again after a failure stands as fresh for RETRY_S, so that a server that is down is asked
once in that time, and not at each call.
"""

from __future__ import annotations

import asyncio
import copy
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .._config import logger
from .disk import DiskCache
from .prompt import PromptClient
from .server import NOT_FOUND, UNAVAILABLE, PromptError, PromptKey

STALE = "OFFPATH_PROMPT_STALE"
#: Seconds from a failed request to the next one behind the same prompt.
RETRY_S = 5.0

#: A request behind that has not ended after this many seconds went with its executor.
_LOST_S = 600.0

#: Asks the server, and that many times again. Raises PromptError.
Fetch: TypeAlias = Callable[[int], PromptClient]


@dataclass(frozen=True)
class _Entry:
    #: None: there is none, and the server is down.
    prompt: PromptClient | None
    #: By the monotonic clock.
    stale_at: float
    is_failing: bool = False


class _Flight:
    """A request that others wait for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.prompt: PromptClient | None = None
        #: None with no prompt either: whoever asked was interrupted.
        self.error: PromptError | None = None


class PromptCache:
    """The prompts of one project at one server, in memory and on disk, for all clients and threads of the process."""

    def __init__(self, disk: DiskCache, warn: Callable[[str, str], None]) -> None:
        self._disk = disk
        self._warn = warn
        self._entries: dict[PromptKey, _Entry] = {}
        #: Grows when prompts are forgotten: what was asked for before is not kept.
        self._epoch = 0
        self.after_fork()

    def after_fork(self) -> None:
        """In a child: threads that held the lock or were asking are not here."""
        self._lock = threading.RLock()
        self._flights: dict[PromptKey, _Flight] = {}
        #: Since when, by the monotonic clock.
        self._refreshing: dict[PromptKey, float] = {}

    def get(
        self, key: PromptKey, fetch: Fetch, ttl: float, retries: int, fallback: PromptClient | None
    ) -> PromptClient:
        """A prompt that is at most `ttl` seconds old, or the best there is. Raises PromptError when there is none."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or (entry.prompt is None and fallback is None):
                standing = None
                found = self._flights.get(key)
                flight = self._flights.setdefault(key, found or _Flight())
            else:
                standing = fallback if entry.prompt is None else entry.prompt
        if standing is not None:
            self._refresh(key, fetch, ttl)
            return standing
        try:
            if found is None:
                return self._lead(key, flight, fetch, ttl, retries)
            flight.done.wait()
            if flight.prompt is not None:
                return flight.prompt
            if flight.error is not None:
                # Each thread its own, for it gets the thread's traceback.
                raise copy.copy(flight.error)
        except PromptError as error:
            return self._stand_in(key, error, fallback)
        return self.get(key, fetch, ttl, retries, fallback)

    def get_uncached(
        self, key: PromptKey, fetch: Fetch, retries: int, fallback: PromptClient | None
    ) -> PromptClient:
        """The server's prompt of now."""
        try:
            return self._update(key, fetch, 0.0, retries)
        except PromptError as error:
            if fallback is None:
                raise
            logger.warning("the fallback stands in: %s", error)
            return fallback

    def forget(self, name: str | None = None) -> None:
        """All versions and labels of a name, or everything; on disk too."""
        with self._lock:
            self._epoch += 1
            self._flights.clear()
            for key in [key for key in self._entries if name is None or key.name == name]:
                del self._entries[key]
        self._disk.remove(name)

    def _lead(self, key: PromptKey, flight: _Flight, fetch: Fetch, ttl: float, retries: int) -> PromptClient:
        """The first request for a prompt. With a copy at hand it is made once."""
        epoch = self._epoch
        try:
            kept = self._disk.read(key)
            try:
                flight.prompt = self._update(key, fetch, ttl, retries if kept is None else 0)
            except PromptError as error:
                if kept is None or error.code != UNAVAILABLE:
                    flight.error = error
                    raise
                flight.prompt, fetched_at = kept
                self._keep(key, _Entry(flight.prompt, time.monotonic() + RETRY_S, True), epoch)
                when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(fetched_at))
                self._warn(f"{error} Until then the copy of {when} is used.", STALE)
            return flight.prompt
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            flight.done.set()

    def _update(self, key: PromptKey, fetch: Fetch, ttl: float, retries: int) -> PromptClient:
        epoch = self._epoch
        try:
            prompt = fetch(retries)
        except PromptError as error:
            if error.code == NOT_FOUND:
                with self._lock:
                    self._entries.pop(key, None)
                self._disk.remove_one(key)
            raise
        if self._keep(key, _Entry(prompt, time.monotonic() + ttl), epoch):
            self._disk.write(key, prompt)
        return prompt

    def _keep(self, key: PromptKey, entry: _Entry, epoch: int) -> bool:
        with self._lock:
            if epoch != self._epoch:
                return False
            self._entries[key] = entry
            return True

    def _stand_in(self, key: PromptKey, error: PromptError, fallback: PromptClient | None) -> PromptClient:
        if fallback is None:
            raise error
        logger.warning("the fallback stands in: %s", error)
        if error.code == UNAVAILABLE:
            with self._lock:
                self._entries.setdefault(key, _Entry(None, time.monotonic() + RETRY_S, True))
        return fallback

    def _refresh(self, key: PromptKey, fetch: Fetch, ttl: float) -> None:
        """Asks the server behind the caller where the prompt is stale. Once: where that fails, a later call does so again."""
        with self._lock:
            entry = self._entries.get(key)
            now = time.monotonic()
            since = self._refreshing.get(key)
            if entry is None or now < entry.stale_at or (since is not None and now < since + _LOST_S):
                return
            self._refreshing[key] = now

        def done() -> None:
            with self._lock:
                if self._refreshing.get(key) == now:
                    del self._refreshing[key]

        def refresh() -> None:
            try:
                self._update(key, fetch, ttl, 0)
            except Exception as error:
                self._put_off(key, error)
            finally:
                done()

        try:
            _behind(refresh)
        except RuntimeError:
            # The interpreter is ending: no thread can be started.
            done()

    def _put_off(self, key: PromptKey, error: Exception) -> None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries[key] = _Entry(entry.prompt, time.monotonic() + RETRY_S, True)
        text = str(error) if isinstance(error, PromptError) else f"{key}: {type(error).__name__}"
        if entry is None:
            logger.warning("the prompt is let go: %s", text)
        elif entry.is_failing:
            logger.debug("still not refreshed: %s", text)
        else:
            logger.warning("the prompt that was had before is used: %s", text)


def _behind(task: Callable[[], None]) -> None:
    """In the running event loop's executor; without one, in a thread of its own. Raises RuntimeError when there is none."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        try:
            loop.run_in_executor(None, task)
            return
        except RuntimeError:
            # Its executor has been shut down.
            pass
    threading.Thread(target=task, name="offpath-prompt", daemon=True).start()


_caches: dict[tuple[str, str, str | None], PromptCache] = {}


def cache_of(
    directory: str, server: str, public_key: str | None, warn: Callable[[str, str], None]
) -> PromptCache:
    """The process's one for a project at a server."""
    identity = (directory, server, public_key)
    cache = _caches.get(identity)
    if cache is None:
        made = PromptCache(DiskCache(directory, server, public_key, warn), warn)
        # One wins where several threads make one.
        cache = _caches.setdefault(identity, made)
    return cache


def reset_caches() -> None:
    """For tests: what is in memory is forgotten."""
    _caches.clear()


def _after_fork() -> None:
    for cache in _caches.values():
        cache.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
