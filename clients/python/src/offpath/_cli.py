"""The command `offpath`: the relay's command line, run by the Node of the extra `relay`."""

from __future__ import annotations

import os
import subprocess
import sys

from ._node import RelayError, relay_command


def main() -> int:
    """Becomes `offpath` with the same arguments. Exit codes are its own; 1 when it is not installed."""
    try:
        command = [*relay_command(), *sys.argv[1:]]
    except RelayError as error:
        print(f"offpath: {error}", file=sys.stderr)
        return 1
    if os.name != "nt":
        # The same process: signals, terminal and exit code need no passing on.
        os.execv(command[0], command)
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # It has had the Ctrl-C too.
                continue
