"""A chat service in FastAPI under uvicorn, traced by one subject: `python serve.py '{"subject":…,"url":…}'`.

It prints a line of JSON with its port, and then answers each line of stdin with one:

    flush    hands over what is recorded
    begin    from here on it is measured
    loaded   the load is over: the longest lag of the loop, memory and threads so far
    end      CPU of the main thread since `begin`, in µs; then it ends
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from subjects import open_subject

request = json.loads(sys.argv[1])
subject = open_subject(request["subject"], request["url"])
client = subject.client
app = FastAPI()


@app.post("/chat")
async def chat(http: Request) -> dict[str, Any]:
    body = await http.json()
    messages, documents, answer = body["messages"], body["documents"], body["answer"]
    with client.start_as_current_observation(name="chat", input=messages) as root:
        with client.start_as_current_observation(
            name="retrieve", as_type="retriever", input=messages[-1]["content"]
        ) as retriever:
            await asyncio.sleep(0.004)
            retriever.update(output=documents)
        generation = client.start_observation(
            name="vllm", as_type="generation", model="qwen3-32b", input=messages
        )
        await asyncio.sleep(0.03)
        generation.update(output=answer, usage_details={"input": 16_000, "output": 1_024})
        generation.end()
        root.update(output=answer)
    return {"answer": answer}


class Meter:
    """A ticker that is due each millisecond: what it is late, the loop was held."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = False
        self.lag_s = 0.0
        self.rss_pages = 0
        self.cpu_ns = 0

    def begin(self) -> None:
        self.lag_s = 0.0
        self.rss_pages = 0
        self.cpu_ns = time.thread_time_ns()
        self._running = True
        self._schedule()

    def stop(self) -> dict[str, Any]:
        self._running = False
        return {
            "loopDelayMaxMs": self.lag_s * 1000,
            "rssMb": self.rss_pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            "threads": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None,
        }

    def _schedule(self) -> None:
        self._due = self._loop.time() + 0.001
        self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        self.lag_s = max(self.lag_s, now - self._due)
        if int(now * 10) != int(self._due * 10):
            self.rss_pages = max(self.rss_pages, _rss_pages())
        if self._running:
            self._schedule()


def _rss_pages() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1])
    except OSError:
        return 0


async def commands(server: uvicorn.Server) -> None:
    meter = Meter()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := (await reader.readline()).decode().strip():
        answer: dict[str, Any] = {}
        if line == "flush":
            await asyncio.to_thread(subject.flush)
        elif line == "begin":
            meter.begin()
        elif line == "loaded":
            answer = meter.stop()
        elif line == "end":
            answer = {"mainUs": (time.thread_time_ns() - meter.cpu_ns) / 1000}
        print(json.dumps(answer), flush=True)
        if line == "end":
            break
    server.should_exit = True


async def main() -> None:
    # asyncio turns Nagle's algorithm off where the protocol is named: without that an answer waits 40 ms.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
    await asyncio.gather(server.serve(sockets=[listening]), commands(server))


asyncio.run(main())
