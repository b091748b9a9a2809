"""Everything that the spool has, recorded by the Python client: `python exercise.py [spool|full]`.

Prints what is to be found, JSON: for each observation its name, and what of it can be compared; and what the process says
that it lost. Warnings go to stderr. Its directories are the environment's OFFPATH_SPOOL_DIR and OFFPATH_SPOOL_DISK_DIR.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import threading
from typing import Any

import offpath
from offpath._spool import writer

# A write to the disk that takes long, as on a busy machine, would stop recording for a second.
writer._SLOW_WRITE_S = math.inf

client = offpath.get_client()
expected: list[dict[str, Any]] = []


def record(name: str, input: Any, arrives: Any = None, **attributes: Any) -> Any:
    """Records an observation, and notes what is to arrive of its input: itself, unless said otherwise."""
    expected.append({"name": name, "input": input if arrives is None else arrives})
    return client.start_observation(name=name, input=input, **attributes)


def types() -> None:
    for kind in (
        "span",
        "generation",
        "embedding",
        "agent",
        "tool",
        "chain",
        "retriever",
        "evaluator",
        "guardrail",
        "event",
    ):
        record(kind, {"of": kind}, as_type=kind, metadata={"kind": kind, "n": 1}).end()


def long_strings() -> None:
    """A history that is longer than a segment: its strings are written once in each, and referred to."""
    history: list[dict[str, str]] = []
    for step in range(60):
        history.append({"role": "tool", "content": f"{step} " + "Tiếng Việt " * 700})
        history.append({"role": "assistant", "content": f"{step} " + "plain text " * 700})
        generation = record(f"step {step}", [*history], as_type="generation", model="qwen3")
        generation.update(output=history[-1]["content"], usage_details={"input": step}).end()


def blobs() -> None:
    """Above 2 M characters a text leaves in slices, and so do bytes; several name one, and lie in several segments."""
    ascii = "0123456789abcdef" * 150_000
    pairs = "a😀" * 1_200_000
    broken = "a\ud800" * 1_100_000
    first = record("ASCII blob", {"text": ascii})
    second = record("blob of pairs", [pairs, ascii])
    second.end()
    first.end()
    record("blob with lone surrogates", {"text": broken}).end()
    record("bytes", {"audio": b"\xff\xfe" * 200_000}, "bytes").end()
    record("few bytes", b"\xff", "data:application/octet-stream;base64,/w==").end()
    record("empty bytes", b"", "").end()


def odd_texts() -> None:
    for name, text in {
        "quotes": 'a"\\/\b\f\n\r\t',
        "controls": "".join(map(chr, range(32))),
        "reference by name": {"$offpath:string": 1},
        "object by name": {"$offpath:object": {"$offpath:blob": 2}},
        "key that is long": {"k" * 3_000: "v" * 3_000},
        "lone surrogate": {"t": "\udc00" + "x" * 600},
        "separators": "\u2028\u2029\ufeff",
        "short of large": "x" * 511,
        "large": "x" * 512,
        "length not of 4": "ế" * 1_001,
    }.items():
        record(name, text).end()


def trees() -> None:
    with (
        offpath.propagate_attributes(user_id="u", session_id="s", tags=["a"], metadata={"plan": "free"}),
        client.start_as_current_observation(name="root", input="in context") as root,
    ):
        expected.append({"name": "root", "input": "in context"})
        record("child", 1).end()
        expected.append({"name": "event of the root", "input": 2})
        root.create_event(name="event of the root", input=2)
    try:
        expected.append({"name": "failing", "input": 3})
        with client.start_as_current_observation(name="failing", input=3):
            raise ValueError("broke")
    except ValueError:
        pass


def many_threads() -> None:
    def work(number: int) -> None:
        for i in range(200):
            client.start_observation(name=f"thread {number}.{i}", input={"i": i}).update(
                output="o" * 700
            ).end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        expected.extend({"name": f"thread {number}.{i}", "input": {"i": i}} for i in range(200))


async def many_tasks() -> None:
    async def work(number: int) -> None:
        with client.start_as_current_observation(name=f"task {number}", input=number):
            await asyncio.sleep(0)
            client.start_observation(name=f"of task {number}", input=number).end()

    await asyncio.gather(*(work(number) for number in range(50)))
    for number in range(50):
        expected.append({"name": f"task {number}", "input": number})
        expected.append({"name": f"of task {number}", "input": number, "parent": f"task {number}"})


def forks() -> None:
    """A child has a segment of its own; what its parent had begun stays the parent's."""
    parents = record("across the fork", "parent's")
    text = "known before the fork " * 100
    record("before the fork", text).end()
    for number in range(2):
        pid = os.fork()
        if pid == 0:
            parents.update(output="child's").end()
            client.start_observation(name=f"in child {number}", input=text).end()
            client.start_observation(name=f"open in child {number}", input=text)
            os._exit(0)
        os.waitpid(pid, 0)
        expected.append({"name": f"in child {number}", "input": text})
        expected.append({"name": f"open in child {number}", "input": text, "interrupted": True})
    parents.end()
    record("after the forks", text).end()


def anew() -> None:
    record("in the old segment", "long " * 200).end()
    client.shutdown()
    record("in the next segment", "long " * 200).end()


def overfill() -> None:
    """More than both directories take, with nobody who reads."""
    for i in range(600):
        client.start_observation(name=f"{i}", input=f"{i} " * 3_000).update(output=i).end()


def main() -> None:
    if sys.argv[1] == "full":
        overfill()
    else:
        types()
        long_strings()
        blobs()
        odd_texts()
        trees()
        many_threads()
        asyncio.run(many_tasks())
        forks()
        anew()
        record("left open", "so far")
        expected[-1]["interrupted"] = True
    stats = client.stats()
    client.shutdown()
    print(json.dumps({"expected": expected, "stats": stats}))


main()
