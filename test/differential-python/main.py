"""Runs programs: `python main.py langfuse|offpath`, `python main.py --list` prints what there is.

Each line of stdin names a program; it is answered with a line of JSON on stdout, when all that the program ended is
delivered. Whatever else prints goes to stderr.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import os
import sys
import traceback
from typing import Any

from programs import PROGRAMS


def listing() -> str:
    return json.dumps(
        [
            {
                "name": each.name,
                "versions": each.versions,
                **({"env": each.env} if each.env else {}),
                **({"leavesOpen": each.leaves_open} if each.leaves_open else {}),
            }
            for each in PROGRAMS.values()
        ]
    )


def run(name: str, package: Any, is_offpath: bool) -> dict[str, Any]:
    reports: list[tuple[str, str]] = []
    program = PROGRAMS[name]
    client = package.Langfuse(**program.arguments) if program.arguments else package.get_client()

    def report(what: str, value: Any) -> None:
        reports.append((what, repr(value)))

    error: str | None = None
    try:
        result = program.run(client, package, report)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except BaseException:
        error = traceback.format_exc()
    gc.collect()
    if not is_offpath:
        client.flush()
    elif not client.flush(until="delivered", timeout=30):
        error = error or "not delivered in 30 s"
    return {"reports": reports, **({"error": error} if error else {})}


def main() -> None:
    library = sys.argv[1]
    if library == "--list":
        print(listing())
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    package = importlib.import_module(library)
    for line in sys.stdin:
        print(json.dumps(run(line.rstrip("\n"), package, library == "offpath")), file=answers, flush=True)


main()
