"""Programs of the differential test: the same source runs with `langfuse` and with `offpath`.

A program is called with the client, the package and `report`, which states a fact that is not in the spans (a return
value, an error). Observations of one program have names of their own. Ids and times that are given are those below.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: As test/differential/given.ts has them.
TRACE_ID = "ab" * 16
SPAN_ID = "cd" * 8
OTHER_TRACE_ID = "ef" * 16
#: 2023-11-14T22:13:20.123Z, and a second later.
START = datetime.datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=datetime.timezone.utc)

ALL = (3, 4, 5)


@dataclass
class Program:
    name: str
    run: Callable[..., Any]
    #: Major versions of `langfuse` that have what it uses.
    versions: tuple[int, ...]
    env: dict[str, str] | None
    leaves_open: tuple[str, ...]
    #: Of the client that it gets; such a program has an environment, and by that a process, of its own.
    arguments: dict[str, Any]


PROGRAMS: dict[str, Program] = {}


def program(
    name: str,
    *,
    versions: tuple[int, ...] = ALL,
    env: dict[str, str] | None = None,
    leaves_open: tuple[str, ...] = (),
    arguments: dict[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function `(client, package, report)`, a coroutine function too."""

    def register(run: Callable[..., Any]) -> Callable[..., Any]:
        assert name not in PROGRAMS, name
        PROGRAMS[name] = Program(name, run, versions, env, leaves_open, arguments or {})
        return run

    return register
