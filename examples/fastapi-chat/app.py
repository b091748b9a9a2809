"""A chat service in front of vLLM, traced with Offpath.

api.chat.completions            span: the request's body, the answer, user, session
├── vllm.chat.completion        generation: model, parameters, messages, answer, usage, first token
└── API_REQUEST_COMPLETE        event, metadata: status, total_ms, upstream_ms, loop_stall_ms
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from offpath import get_client, propagate_attributes
from offpath.asgi import OffpathMiddleware
from offpath.openai import AsyncOpenAI, openai

VLLM_URL = os.environ.get("VLLM_URL", "http://127.0.0.1:8000").rstrip("/").removesuffix("/v1")
MODEL = os.environ.get("VLLM_MODEL", "Qwen/Qwen3-8B")

langfuse = get_client()
vllm = AsyncOpenAI(
    base_url=f"{VLLM_URL}/v1", api_key=os.environ.get("VLLM_API_KEY", "none"), max_retries=0, timeout=60
)
app = FastAPI()
app.add_middleware(OffpathMiddleware, name="api.chat.completions", exclude=["/health"])


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/chat/completions")
async def chat_completions(request: Request) -> Response:
    """Takes what vLLM takes; `user` and `session_id` belong to the trace."""
    body = await request.json()
    langfuse.update_current_span(input=body)
    messages, is_stream = body.pop("messages", []), body.pop("stream", False)
    model, user = body.pop("model", MODEL), body.pop("user", None)
    with propagate_attributes(user_id=user, session_id=body.pop("session_id", None)):
        if is_stream:
            body["stream_options"] = {"include_usage": True, **body.get("stream_options", {})}
        try:
            answer = await vllm.chat.completions.create(
                name="vllm.chat.completion",
                model=model,
                messages=messages,
                stream=is_stream,
                extra_body=body,
            )
        except openai.APIError as error:
            status, said = failure(error)
            return JSONResponse(said, status)
    if is_stream:
        return StreamingResponse(events(answer), media_type="text/event-stream")
    langfuse.update_current_span(output=answer.choices[0].message)
    return JSONResponse(answer.model_dump(mode="json", exclude_unset=True))


async def events(stream: Any) -> AsyncIterator[str]:
    """The stream as server-sent events; what fails in its middle is its last one."""
    texts = []
    try:
        async for chunk in stream:
            texts += [choice.delta.content for choice in chunk.choices if choice.delta.content]
            yield f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"
        yield "data: [DONE]\n\n"
    except openai.APIError as error:
        status, said = failure(error)
        langfuse.update_current_span(level="ERROR", status_message=said["error"]["message"])
        yield f"data: {JSONResponse(said, status).body.decode()}\n\n"
    finally:
        langfuse.update_current_span(output="".join(texts))
        await stream.close()


def failure(error: openai.APIError) -> tuple[int, dict[str, Any]]:
    """A 4xx is the client's to read; whatever else fails upstream is a bad gateway, or a late one."""
    status = getattr(error, "status_code", None) or 502
    if isinstance(error, openai.APITimeoutError):
        status = 504
    elif status >= 500:
        status = 502
    return status, {"error": {"message": error.message, "type": type(error).__name__, "code": status}}
