"""An application for test_start_relay.py: starts the relay, and then does what the lines of its stdin say.

Prints JSON lines: one when it has started, one for each line of the logger, one for each command that is done.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from typing import Any

import offpath


def tell(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


class Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(log=f"{record.levelname} {record.getMessage()}")


def main() -> None:
    logging.getLogger("offpath").setLevel("INFO")
    logging.getLogger("offpath").addHandler(Lines())
    try:
        relay = offpath.start_relay(**json.loads(sys.argv[1]))
    except offpath.RelayError as error:
        tell(error=str(error))
        return
    assert relay is not None and offpath.start_relay() is relay
    tell(url=relay.url, threads=threading.active_count(), supervisor=relay._process.pid)
    client = offpath.get_client()
    for line in sys.stdin:
        command, _, name = line.strip().partition(" ")
        if command == "record":
            client.start_observation(name=name).end()
        elif command == "open":
            client.start_observation(name=name)
        elif command == "fork":
            if os.fork():
                # The child goes on with what comes; this one is to be killed.
                threading.Event().wait()
            client.start_observation(name=name).end()
        elif command == "stop":
            tell(stopped=relay.stop())
            continue
        tell(done=command, pid=os.getpid())


main()
