"""Keeps one relay running for the applications of a spool; `start_relay` runs this file as a process of its own.

    python _supervisor.py <lock file> <seconds a relay may take to end> <command of the relay …>

stdin is a pipe that nobody writes to: when it closes, the application has ended, however it did. The relay has the same stdin
and so ends even when this process was killed. Supervisors wait for the lock; who has it starts the relay, and starts it again.

What the relay prints, and what becomes of it, goes to stdout, a line each and each in one write: log lines as they are, and
JSON objects of one key (`Event`). It is never waited for: what the application does not read in time is left out, counted.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import deque
from time import monotonic

LOCK_LOOK_S = 1.0
#: Until a relay is tried again that found another one: one that no supervisor started.
TAKEN_S = 10.0
FIRST_DELAY_S = 1.0
MAX_DELAY_S = 30.0
#: Who ran so long begins anew with the first delay.
STEADY_S = 60.0
#: Of a line, so that a write of it to a pipe is whole or none (POSIX: 512 at least, Linux 4096).
MAX_LINE_BYTES = min(select.PIPE_BUF, 4096) - 1

#: Exit codes of `offpath`.
WRONG_CONFIGURATION = 2
TAKEN = 3


class Output:
    """To the application."""

    def __init__(self) -> None:
        os.set_blocking(1, False)
        self._left_out = 0

    def event(self, name: str, value: object) -> None:
        """waiting; taken and refused (the relay's words); ended (exit code)."""
        self.line(json.dumps({name: value}).encode())

    def line(self, line: bytes) -> None:
        if self._left_out and self._write(b'{"left_out": %d}' % self._left_out):
            self._left_out = 0
        if not self._write(line):
            self._left_out += 1

    def _write(self, line: bytes) -> bool:
        try:
            os.write(1, line[:MAX_LINE_BYTES] + b"\n")
        except BlockingIOError:
            return False
        except OSError:
            pass  # Nobody is left to read it.
        return True


class Supervisor:
    def __init__(self, command: list[str], patience_s: float) -> None:
        self._command = command
        self._patience_s = patience_s
        self._output = Output()
        #: The last lines, and how many of them are held back: `offpath: …`, until more is known of them.
        self._last: deque[bytes] = deque(maxlen=3)
        self._held = 0

    def run(self, lock_path: str) -> None:
        if not self._wait_for_lock(lock_path):
            return
        delay = FIRST_DELAY_S
        was_taken = False
        while True:
            began = monotonic()
            code = self._run_relay()
            words = b"\n".join(self._last).decode(errors="replace")[:1000]
            if code == TAKEN:
                # That there is another relay is no complaint.
                self._held = 0
            self._tell_held()
            if self._application_ended(0):
                return
            if code == WRONG_CONFIGURATION:
                # It would be wrong the next time, too.
                self._output.event("refused", words)
                return
            if code == TAKEN:
                if not was_taken:
                    self._output.event("taken", words)
                was_taken = True
                wait = TAKEN_S
            else:
                self._output.event("ended", code)
                was_taken = False
                if monotonic() - began > STEADY_S:
                    delay = FIRST_DELAY_S
                wait = delay
                delay = min(2 * delay, MAX_DELAY_S)
            if self._application_ended(wait):
                return

    def _wait_for_lock(self, path: str) -> bool:
        """False: the application ended before. Without a lock the relay's own lease decides, at its cost."""
        import fcntl

        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return True
        is_told = False
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                pass
            except OSError:
                return True
            if not is_told:
                self._output.event("waiting", True)
                is_told = True
            if self._application_ended(LOCK_LOOK_S):
                return False

    def _run_relay(self) -> int:
        """Until it has ended; returns its exit code, or minus the signal that ended it."""
        try:
            relay = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            self._output.line(f"the relay cannot be started: {error}".encode())
            return 1
        assert relay.stdout is not None
        output = relay.stdout.fileno()
        self._last.clear()
        poll = select.poll()
        poll.register(0, 0)
        poll.register(output, select.POLLIN)
        deadline: float | None = None
        rest = b""
        while True:
            timeout = None if deadline is None else max(0.0, deadline - monotonic()) * 1000
            ready = poll.poll(timeout)
            if not ready:
                relay.kill()
                deadline = None
            for fd, _ in ready:
                if fd == 0:
                    deadline = monotonic() + self._patience_s
                    poll.unregister(0)
                    continue
                data = os.read(output, 65_536)
                *lines, rest = (rest + data).split(b"\n")
                if not data and rest:
                    lines.append(rest)
                for line in lines:
                    self._take(line[:MAX_LINE_BYTES])
                rest = rest[:MAX_LINE_BYTES]
                if not data:
                    relay.stdout.close()
                    return relay.wait()

    def _take(self, line: bytes) -> None:
        if not line.startswith(b"offpath: ") or self._held == self._last.maxlen:
            self._tell_held()
        self._last.append(line)
        if line.startswith(b"offpath: "):
            self._held += 1
        else:
            self._output.line(line)

    def _tell_held(self) -> None:
        for line in list(self._last)[len(self._last) - self._held :]:
            self._output.line(line)
        self._held = 0

    def _application_ended(self, wait_s: float) -> bool:
        """Waits for it, for at most so long."""
        poll = select.poll()
        poll.register(0, 0)
        return bool(poll.poll(wait_s * 1000))


def main() -> None:
    lock_path, patience_s, *command = sys.argv[1:]
    # A group of processes is told to end all at once (systemd, a terminal): the application may still record then.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: None)
    Supervisor(command, float(patience_s)).run(lock_path)


if __name__ == "__main__":
    main()
