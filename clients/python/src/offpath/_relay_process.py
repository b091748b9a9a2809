"""Starting the relay from within the application, where no process beside it can be set up.

    application ──▶ supervisor (_supervisor.py, some MB) ──▶ relay (`offpath up`)

The application has no thread for it. Supervision must outlive the application to the end of the relay, and one application of
many may have it at a time: that is a process's work, not the relay's, which may be killed, nor the application's. What the
relay says waits in a pipe; whoever records reads it, once a second, into the logger `offpath`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import threading
from time import monotonic

from ._api.client import session
from ._config import load, logger
from ._node import RelayError, relay_command
from ._spool.tiers import private_directory

_SUPERVISOR = os.path.join(os.path.dirname(__file__), "_supervisor.py")
_START_S = 10.0
#: What a relay needs to end beyond what it was given to deliver.
_STOP_S = 5.0
#: What a pipe holds on Linux: all that waits.
_PIPE_BYTES = 65_536
_LINE = re.compile(r"\d{4}-\S+Z (debug|info|warn|error) +(.*)")
_LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40}


class RelayProcess:
    """A relay that ends with this application, or the wait for taking over from another application's."""

    def __init__(self, command: list[str], env: dict[str, str], lock_path: str, drain: float) -> None:
        self.url: str | None = None
        """Of the relay's HTTP API; None: it is another application's, or not up yet."""
        self._patience_s = drain + _STOP_S
        self._command = [_interpreter(), "-I", "-S", _SUPERVISOR, lock_path, str(self._patience_s), *command]
        self._env = env
        self._pid = os.getpid()
        self._reading = threading.Lock()
        self._rest = b""
        self._seen: set[str] = set()
        self._refusal: str | None = None
        self._stopped = False
        self._is_closed = False
        self._start()

    def _start(self) -> None:
        # A session of its own: a Ctrl-C is for the application, which may record until it ends.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._env,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)

    def _wait(self, seconds: float, until: str) -> bool:
        """Reads what is said for so long; True once there was such an event (`any`: one of any kind)."""
        deadline = monotonic() + seconds
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        while True:
            left = deadline - monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                return False
            self.read_output()
            if until in self._seen or (until == "any" and self._seen):
                return True

    def read_output(self) -> None:
        """Logs what has been said since the last time. Never blocks, never raises."""
        if not self._reading.acquire(False):
            return
        try:
            if self._is_closed:
                return
            data = os.read(self._output, _PIPE_BYTES)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._take(line.decode(errors="replace"))
            if not data:
                self._supervisor_ended()
        except BlockingIOError:
            pass
        except Exception as error:
            logger.debug("the relay's output cannot be read: %s", error)
        finally:
            self._reading.release()

    def _supervisor_ended(self) -> None:
        if "end" in self._seen or os.getpid() != self._pid:
            return
        self._seen.add("end")
        if not self._stopped and self._refusal is None:
            logger.warning("the relay's supervisor was ended; it is started again")
            self._seen.clear()
            self._close_pipes()
            self._start()

    def _take(self, line: str) -> None:
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                self._take_event(json.loads(line))
                return
        match = _LINE.fullmatch(line)
        if match is not None:
            logger.log(_LEVELS[match[1]], "relay: %s", match[2])
        elif line:
            logger.warning("relay: %s", line)

    def _take_event(self, event: dict[str, object]) -> None:
        name, value = next(iter(event.items()))
        self._seen.add(name)
        if name == "ready":
            self.url = str(event.get("url"))
        elif name == "ended":
            self.url = None
            logger.warning("the relay ended with %s; it is started again", value)
        elif name == "refused":
            self._refusal = _plain(value)
            logger.error("the relay is given up: its configuration is wrong")
        elif name == "left_out":
            logger.warning("%s lines of the relay were not read in time", value)
        elif name == "waiting":
            logger.info("another application has the relay; this one waits for its end")
        else:
            logger.info("another relay runs, this one waits for its end: %s", _plain(value))

    def stop(self) -> bool:
        """Ends the relay, if it is this application's, and waits for it.

        It first delivers what is left, for at most the `drain` seconds of `start_relay`. False: it has not ended in time.
        In a forked child it does nothing: the relay is the parent's.
        """
        if self._stopped or os.getpid() != self._pid:
            return True
        self._stopped = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._wait(self._patience_s + 1, "end")
        self.url = None
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            return False
        with self._reading:
            self._is_closed = True
            self._close_pipes()
        return True

    def _close_pipes(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    @property
    def is_running(self) -> bool:
        """Whether this process started it, and has not stopped it. False in a forked child."""
        return not self._stopped and self._refusal is None and os.getpid() == self._pid


_lock = threading.Lock()
_relay: RelayProcess | None = None


def start_relay(
    *,
    drain: float = 5.0,
    config: str | None = None,
    store_dir: str | None = None,
    retention_age: str | None = None,
    retention_size: str | int | None = None,
    http_host: str | None = None,
    http_port: int | None = None,
    http_allowed_hosts: str | None = None,
    http_token: str | None = None,
    langfuse_base_url: str | None = None,
    langfuse_public_key: str | None = None,
    langfuse_secret_key: str | None = None,
    langfuse_projects: str | None = None,
    langfuse_media_upload: bool | None = None,
    otlp_url: str | None = None,
    otlp_headers: str | None = None,
    otlp_receive: bool | None = None,
    redis_url: str | None = None,
    redis_password_file: str | None = None,
    redis_tls_ca: str | None = None,
    redis_forward: bool | None = None,
    redis_stream: str | None = None,
    redis_partitions: int | None = None,
    redis_max_length: int | None = None,
    redis_entry_bytes: str | int | None = None,
    redis_claim_idle: str | None = None,
    redis_list: str | None = None,
    export_gzip: str | None = None,
    export_request_bytes: str | int | None = None,
    export_span_bytes: str | int | None = None,
    export_concurrency: int | None = None,
    export_timeout: str | None = None,
    export_backlog_cap: str | int | None = None,
    log_level: str | None = None,
) -> RelayProcess | None:
    """Runs the relay as a child process of this application, where it cannot be run beside it (`offpath up`).

    One relay reads a spool: call it in every worker and every application, and one of them has the relay; when that ends,
    another takes over. A relay that dies is started again, after 1 s and then up to 30 s. It ends with the application,
    however that ends, after it has delivered what is left, for at most `drain` seconds; an application that ends in order
    waits for that.

    The options are those of docs/configuration.md, as is their form; unset ones come from the environment (`OFFPATH_*`,
    `LANGFUSE_*`) and from `offpath.yaml` (`config`: another file). The spool is the one that this process records into. What
    the relay logs goes to the logger `offpath`.

    Waits until the relay is up, some tenths of a second, at most 10 s. A second call returns what the first did. Returns
    None while tracing is off (`OFFPATH_ENABLED=false`).

    Raises RelayError when the relay is not installed (`pip install "offpath[relay]"`) or refuses its configuration, and
    on Windows.
    """
    options = {name: value for name, value in locals().items() if name != "drain" and value is not None}
    global _relay
    with _lock:
        if _relay is not None and _relay.is_running:
            return _relay
        if os.name == "nt":
            raise RelayError("start_relay needs a POSIX system: run `offpath up` beside the application")
        if drain < 0:
            raise ValueError(f"drain: {drain} is not a number of seconds from 0")
        here = load()
        if not here.enabled:
            return None
        command = [*relay_command(), "up", "--json", "--until-stdin-closes"]
        env = {
            **os.environ,
            **{f"OFFPATH_{name.upper()}": _setting(value) for name, value in options.items()},
            "OFFPATH_SPOOL_DIR": here.spool_dir,
            "OFFPATH_SPOOL_DISK_DIR": here.disk_dir,
            "OFFPATH_EXPORT_DRAIN": f"{drain * 1000:.0f}ms" if drain else "",
        }
        # Where it cannot be made the relay will say so.
        with contextlib.suppress(OSError):
            private_directory(here.spool_dir)
        relay = RelayProcess(command, env, os.path.join(here.spool_dir, "supervisor.lock"), drain)
        relay._wait(_START_S, "any")
        if relay._refusal is not None:
            relay.stop()
            raise RelayError(relay._refusal)
        _relay = relay
        session.each_second = relay.read_output
        session.at_exit(relay.stop)
        return relay


def _setting(value: object) -> str:
    """As docs/configuration.md writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(words: object) -> str:
    return str(words).replace("offpath: ", "")


def _interpreter() -> str:
    """A Python like this one: where a server embeds it (uWSGI), `sys.executable` is the server."""
    if os.path.basename(sys.executable or "").startswith(("python", "pypy")):
        return sys.executable
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for path in (os.path.join(sys.exec_prefix, "bin", name) for name in (version, "python3")):
        if os.path.isfile(path):
            return path
    raise RelayError(
        "no Python executable is found to watch over the relay: run `offpath up` beside the application"
    )
