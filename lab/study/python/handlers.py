"""The requests of ../service.ts, traced with context managers. observed.py has `/chat` and `/agent` with decorators.

A handler gets the client to trace its request with: the SDK's own, one that does nothing, or one whose calls are timed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import httpx
from settings import Settings
from split import account_in_hand, timed
from tracers import Tracer

MODEL = "Qwen/Qwen3-8B"
PARAMETERS = {"temperature": 0.2, "top_p": 0.9}
_LOG_LINES = 20
#: Tools of an agent run on the loop; between some it lets others in.
STEPS_IN_A_ROW = 8

log = logging.getLogger("lab")


@dataclass
class Service:
    settings: Settings
    tracer: Tracer
    upstream: httpx.AsyncClient
    executor: Executor

    async def ask(self, messages: list[dict[str, str]]) -> tuple[str, dict[str, int]]:
        """The model's answer, and what it used."""
        response = await self.upstream.post(
            "/v1/chat/completions", json={"model": MODEL, "messages": messages}
        )
        response.raise_for_status()
        body = response.json()
        used = body["usage"]
        usage = {
            "input": used["prompt_tokens"],
            "output": used["completion_tokens"],
            "total": used["total_tokens"],
        }
        return body["choices"][0]["message"]["content"], usage


Handler = Callable[[Service, Any, dict[str, Any]], Awaitable[str]]


async def chat(service: Service, client: Any, body: dict[str, Any]) -> str:
    messages = body["messages"]
    recorded = value_of(service, messages)
    if service.settings.attached == "prompt":
        fetch_prompt(service.tracer.client)
    with client.start_as_current_observation(
        name="api.chat.completions", input=recorded, metadata={"user": body["user"]}
    ) as root:
        with client.start_as_current_observation(
            name="search.documents", as_type="retriever", input=messages[-1]["content"]
        ) as retriever:
            await asyncio.sleep(0.004)
            retriever.update(output=value_of(service, body["documents"]))
        if service.settings.attached == "logs":
            write_log(body["user"])
        if service.settings.attached == "langchain":
            # Its observations are the callback handler's.
            from attached import answer_through_langchain

            answer = await answer_through_langchain(service, messages)
        elif service.settings.own_text:
            # As a service has them that builds its prompt from parts.
            messages = json.loads(json.dumps(messages))
            answer = await generate(service, client, messages, messages)
        else:
            answer = await generate(service, client, messages, recorded)
        root.update(output=answer)
    return answer


def value_of(service: Service, value: Any) -> Any:
    """What is recorded of a value: itself, or its text. Langfuse makes a text of it too, but with escapes, and of a copy."""
    return timed(json.dumps, value, ensure_ascii=False) if service.settings.as_text else value


async def generate(service: Service, client: Any, messages: list[dict[str, str]], recorded: Any) -> str:
    generation = client.start_observation(
        name="vllm.chat.completion",
        as_type="generation",
        model=MODEL,
        model_parameters=PARAMETERS,
        input=recorded,
    )
    answer, usage = await service.ask(messages)
    generation.update(output=answer, usage_details=usage)
    generation.end()
    return answer


def fetch_prompt(client: Any) -> None:
    """As one does who wants each change at once: nothing cached."""
    began = time.perf_counter_ns()
    client.get_prompt("chat", cache_ttl_seconds=0)
    account = account_in_hand.get()
    if account is not None:
        account.network_ns += time.perf_counter_ns() - began


def write_log(user: str) -> None:
    for line in range(_LOG_LINES):
        log.info("step %d of the answer for %s: %d documents kept", line, user, line % 5)


async def agent(service: Service, client: Any, body: dict[str, Any]) -> str:
    messages, steps = body["messages"], body["steps"]
    recorded = value_of(service, messages)
    with client.start_as_current_observation(
        name="agent.run", as_type="agent", input=recorded, metadata={"user": body["user"]}
    ) as root:
        answer = await generate(service, client, messages, recorded)
        for number, step in enumerate(steps):
            if not service.settings.few:
                given = value_of(service, step["input"])
                with client.start_as_current_observation(name=step["name"], input=given) as span:
                    span.update(output=value_of(service, step["output"]))
            if number % STEPS_IN_A_ROW == 0:
                await asyncio.sleep(0)
        root.update(output=answer)
    return answer


async def audio(service: Service, client: Any, body: dict[str, Any]) -> str:
    messages = body["messages"]
    wav = base64.b64decode(body["audio"])
    if service.settings.media == "bytes":
        value = service.tracer.media(wav)
    else:
        value = f"data:audio/wav;base64,{body['audio']}"
    with client.start_as_current_observation(
        name="api.audio.transcriptions", input=messages, metadata={"user": body["user"], "bytes": len(wav)}
    ) as root:
        with client.start_as_current_observation(
            name="transcribe", input=[{"role": "user", "content": [{"type": "audio", "audio": value}]}]
        ) as span:
            answer, _ = await service.ask(messages)
            span.update(output=answer)
        root.update(output=answer)
    return answer


async def jobs(service: Service, client: Any, body: dict[str, Any]) -> str:
    texts = body["jobs"]
    with client.start_as_current_observation(
        name="batch", input={"jobs": len(texts)}, metadata={"user": body["user"]}
    ) as root:
        loop = asyncio.get_running_loop()
        done = await asyncio.gather(
            *(loop.run_in_executor(service.executor, job, client, text) for text in texts)
        )
        root.update(output={"done": sum(done)})
    return f"{sum(done)} characters"


def job(client: Any, text: str) -> int:
    """In a thread of the pool: without the context of the request, unless the executor hands it over."""
    with client.start_as_current_observation(name="job", input=text) as outer:
        with client.start_as_current_observation(name="job.step", input={"length": len(text)}) as inner:
            time.sleep(0.005)
            inner.update(output=text)
        outer.update(output={"length": len(text)})
    return len(text)


HANDLERS: dict[str, Handler] = {"/chat": chat, "/agent": agent, "/audio": audio, "/jobs": jobs}


def observations_of(path: str, body: dict[str, Any], settings: Settings) -> int:
    """What a request records."""
    if settings.tracer == "untraced":
        return 0
    if path == "/agent":
        return 2 if settings.few else 2 + len(body["steps"])
    if path == "/jobs":
        return 1 + 2 * len(body["jobs"])
    return 3 if path == "/chat" else 2
