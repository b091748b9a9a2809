"""`/chat` and `/agent` with the SDK's `observe`: the same observations, each a decorated function."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from handlers import MODEL, PARAMETERS, STEPS_IN_A_ROW, Handler, Service
from split import account_in_hand, observed, timed
from tracers import Tracer


def observed_handlers(tracer: Tracer) -> dict[str, Handler]:
    """With the SDK's own decorator; requests that are timed have functions of their own, so that others pay nothing for it."""
    bare = _handlers(tracer, tracer.observe)
    measured = _handlers(tracer, functools.partial(observed, tracer.observe))

    def choosing(path: str) -> Handler:
        def handler(service: Service, client: Any, body: dict[str, Any]) -> Any:
            chosen = bare if account_in_hand.get() is None else measured
            return chosen[path](service, client, body)

        return handler

    return {path: choosing(path) for path in bare}


def _handlers(tracer: Tracer, observe: Callable[..., Any]) -> dict[str, Handler]:
    """Decorated once, as a module's functions are when it is imported."""
    client = tracer.client
    tools: dict[str, Any] = {}

    def decorated(name: str, as_type: str = "span") -> Any:
        return observe(name=name, as_type=as_type)

    class Request:
        """Its methods are what is observed: `self` is not recorded."""

        def __init__(self, service: Service, body: dict[str, Any]) -> None:
            self.service = service
            self.body = body
            self.outputs = [step["output"] for step in body.get("steps", ())][::-1]

        @decorated("vllm.chat.completion", "generation")
        async def generate(self, messages: list[dict[str, str]]) -> str:
            answer, usage = await self.service.ask(messages)
            timed(
                client.update_current_generation,
                model=MODEL,
                model_parameters=PARAMETERS,
                usage_details=usage,
            )
            return answer

        @decorated("search.documents", "retriever")
        async def retrieve(self, query: str) -> Any:
            await asyncio.sleep(0.004)
            return self.body["documents"]

        @decorated("api.chat.completions")
        async def chat(self, messages: list[dict[str, str]]) -> str:
            timed(client.update_current_span, metadata={"user": self.body["user"]})
            await self.retrieve(messages[-1]["content"])
            return await self.generate(messages)

        @decorated("agent.run", "agent")
        async def agent(self, messages: list[dict[str, str]]) -> str:
            timed(client.update_current_span, metadata={"user": self.body["user"]})
            answer = await self.generate(messages)
            for number, step in enumerate(self.body["steps"]):
                tool(step["name"])(self, step["input"])
                if number % STEPS_IN_A_ROW == 0:
                    await asyncio.sleep(0)
            return answer

        def use_tool(self, input: Any) -> Any:
            return self.outputs.pop()

    def tool(name: str) -> Any:
        if name not in tools:
            tools[name] = decorated(name)(Request.use_tool)
        return tools[name]

    async def chat(service: Service, client: Any, body: dict[str, Any]) -> str:
        return await Request(service, body).chat(body["messages"])

    async def agent(service: Service, client: Any, body: dict[str, Any]) -> str:
        return await Request(service, body).agent(body["messages"])

    return {"/chat": chat, "/agent": agent}
