"""What services attach beside: a log handler that updates the span, LangChain's callbacks."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from split import account_in_hand, timed, timed_methods

if TYPE_CHECKING:
    from handlers import Service


class UpdatingHandler(logging.Handler):
    """Turns each line into an update of the span that is active; without a client it formats it alone."""

    def __init__(self, client: Any | None) -> None:
        super().__init__(logging.INFO)
        self._client = client

    def emit(self, record: logging.LogRecord) -> None:
        line = {"logger": record.name, "level": record.levelname, "message": self.format(record)}
        if self._client is None:
            return
        timed(self._client.update_current_span, metadata=line)


_TOKENS = 200
#: Of the callback handler; LangChain calls them, in threads of the loop's executor.
_CALLBACKS = ("on_chat_model_start", "on_llm_new_token", "on_llm_end", "on_llm_error")


async def answer_through_langchain(service: Service, messages: list[dict[str, str]]) -> str:
    """The same request of the model, as a chat model of LangChain that streams."""
    callbacks = []
    if service.settings.tracer == "langfuse":
        from langfuse.langchain import CallbackHandler

        handler = CallbackHandler()
        account = account_in_hand.get()
        if account is not None:
            timed_methods(handler, _CALLBACKS, account)
        callbacks.append(handler)
    model = _model_of(service)
    turns = [(message["role"], message["content"]) for message in messages]
    parts = [chunk.content async for chunk in model.astream(turns, config={"callbacks": callbacks})]
    return "".join(parts)


def _model_of(service: Service) -> Any:
    from handlers import MODEL
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk
    from langchain_core.outputs import ChatGenerationChunk, ChatResult

    class Streaming(BaseChatModel):
        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {"model_name": MODEL}

        @property
        def _llm_type(self) -> str:
            return "vllm"

        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            raise NotImplementedError

        async def _astream(self, messages: Any, **_: Any) -> AsyncIterator[ChatGenerationChunk]:
            roles = {"human": "user", "ai": "assistant", "system": "system"}
            turns = [{"role": roles[turn.type], "content": turn.content} for turn in messages]
            answer, usage = await service.ask(turns)
            for token in _pieces(answer):
                yield ChatGenerationChunk(message=AIMessageChunk(content=token))
                await asyncio.sleep(0)
            used = {f"{key}_tokens": count for key, count in usage.items()}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=used))

    return Streaming()


def _pieces(answer: str) -> list[str]:
    """So many tokens of it, all of it together."""
    words = re.findall(r"\S+\s*", answer)
    size = max(1, -(-len(words) // _TOKENS))
    return ["".join(words[at : at + size]) for at in range(0, len(words), size)]
