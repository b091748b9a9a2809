"""Records in one case with one subject: `python record.py '{"case":…,"subject":…,"seconds":…,"seed":…}'`.

Prints what was measured, JSON: the main thread's CPU per observation, in µs, and how many were recorded and taken. What
is recorded is made before it is measured; between two measured parts the process sleeps, so that others' exporters,
which drop at once, keep up.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from prose import Prose
from subjects import open_subject

#: Sleep between two measured parts.
_PAUSE_S = 0.002
_STEPS = 40


def small(client: Any, prose: Prose) -> tuple[Callable[[], None], int]:
    """A root and 19 children of it: start, four attributes, end."""
    texts = [(prose.text(10 + i % 30), prose.text(10 + i % 30)) for i in range(20)]

    def run() -> None:
        root = None
        for input, output in texts:
            start = client.start_observation if root is None else root.start_observation
            observation = start(name="step", input=input, output=output, level="DEFAULT", version="v7")
            if root is None:
                root = observation
            else:
                observation.end()
        root.end()

    return run, 20


def generation(client: Any, prose: Prose) -> tuple[Callable[[], None], int]:
    """64 K characters of messages in, 4 K out."""
    calls = [(prose.messages(65_536), prose.about(4096)) for _ in range(8)]

    def run() -> None:
        for messages, output in calls:
            started = client.start_observation(
                name="chat.completion",
                as_type="generation",
                input=messages,
                model="qwen3-32b",
                model_parameters={"temperature": 0.2, "top_p": 0.9},
            )
            started.update(output=output, usage_details={"input": 16_000, "output": 1_024})
            started.end()

    return run, len(calls)


def history(client: Any, prose: Prose) -> tuple[Callable[[], None], int]:
    """An agent of 40 steps, each of which records the whole list, which has grown by 8 K characters."""
    additions = [
        [{"role": "assistant", "content": prose.about(900)}, {"role": "tool", "content": prose.about(7_292)}]
        for _ in range(_STEPS)
    ]

    def run() -> None:
        messages: list[dict[str, str]] = []
        for step, added in enumerate(additions):
            messages.extend(added)
            started = client.start_observation(name="plan", as_type="generation", input=messages)
            started.update(output=added[0]["content"], usage_details={"input": step, "output": 225})
            started.end()

    return run, _STEPS


CASES = {"small": small, "generation": generation, "history": history}


def main() -> None:
    request = json.loads(sys.argv[1])
    subject = open_subject(request["subject"], None)
    prose = Prose(request["seed"])
    prepare = CASES[request["case"]]
    recorded = 0

    def measure(seconds: float) -> float:
        nonlocal recorded
        used = count = 0
        until = time.monotonic() + seconds
        while time.monotonic() < until or count == 0:
            run, observations = prepare(subject.client, prose)
            time.sleep(_PAUSE_S)
            before = time.thread_time_ns()
            run()
            used += time.thread_time_ns() - before
            count += observations
        recorded += count
        return used / count / 1000

    measure(request["seconds"] / 2)
    us = measure(request["seconds"])
    subject.flush()
    print(json.dumps({"us": us, "recorded": recorded, "taken": subject.taken()}))


main()
