"""A server that speaks OpenAI's dialect, on a free port, in a thread."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 7,
    "total_tokens": 27,
    "prompt_tokens_details": {"cached_tokens": 12},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-test-1",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hanoi", "annotations": []}],
        }
    ],
    "usage": {
        "input_tokens": 20,
        "output_tokens": 7,
        "total_tokens": 27,
        "input_tokens_details": {"cached_tokens": 12},
        "output_tokens_details": {"reasoning_tokens": 3},
    },
}
TOOL_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Hanoi"}'},
}
AUDIO = {"id": "audio_1", "data": "A" * 800, "expires_at": 1, "transcript": "Hanoi"}


class OpenAIServer:
    """`requests`: the bodies that came. `pause`: seconds between two chunks."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.pause = 0.0


@contextlib.contextmanager
def openai_server() -> Iterator[OpenAIServer]:
    state = OpenAIServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.requests.append(body)
            answer = _answer(self.path.partition("?")[0], body)
            if not isinstance(answer, list):
                status, answer = answer
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            with contextlib.suppress(OSError):
                for event in answer:
                    if event is None:
                        return
                    name = f"event: {event['type']}\n" if "type" in event else ""
                    self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
                    self.wfile.flush()
                    time.sleep(state.pause)
                self.wfile.write(b"data: [DONE]\n\n")

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(path: str, body: dict[str, Any]) -> Any:
    """A status and a body, or the events of a stream; None among them breaks the connection."""
    wish = body.get("user", "")
    if wish == "refused":
        return 400, {"error": {"message": "no such model", "type": "invalid_request_error"}}
    if path.endswith("/embeddings"):
        data = [
            {"object": "embedding", "index": index, "embedding": [0.1, 0.2, 0.3]}
            for index in range(len(body["input"]))
        ]
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return 200, {"object": "list", "model": "embed-test-1", "data": data, "usage": usage}
    if path.endswith("/responses"):
        return _response(body, wish)
    if path.endswith("/chat/completions"):
        return _chat(body, wish)
    head = {"id": "c", "object": "text_completion", "created": 1, "model": "gpt-test-1"}
    choice = {"index": 0, "text": "Hanoi", "finish_reason": "stop", "logprobs": None}
    if not body.get("stream"):
        return 200, {**head, "choices": [choice], "usage": USAGE}
    pieces = [{**choice, "text": text, "finish_reason": None} for text in ("Ha", "noi")]
    return [
        *({**head, "choices": [piece]} for piece in pieces),
        {**head, "choices": [{**choice, "text": ""}]},
        {**head, "choices": [], "usage": USAGE},
    ]


def _response(body: dict[str, Any], wish: str) -> Any:
    if not body.get("stream"):
        return 200, RESPONSE
    open_response = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    delta = {
        "type": "response.output_text.delta",
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "logprobs": [],
    }
    item = {**RESPONSE["output"][0], "status": "in_progress", "content": []}  # type: ignore[index]
    place = {"output_index": 0, "sequence_number": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    events: list[Any] = [
        {"type": "response.created", "sequence_number": 0, "response": open_response},
        {"type": "response.output_item.added", **place, "item": item},
        {
            "type": "response.content_part.added",
            **place,
            "item_id": "msg_1",
            "content_index": 0,
            "part": part,
        },
        {**delta, "sequence_number": 1, "delta": "Ha"},
        {**delta, "sequence_number": 2, "delta": "noi"},
    ]
    if wish == "fails":
        failed = {
            **open_response,
            "status": "failed",
            "error": {"code": "server_error", "message": "engine died"},
        }
        return [*events, {"type": "response.failed", "sequence_number": 3, "response": failed}]
    return [*events, {"type": "response.completed", "sequence_number": 3, "response": RESPONSE}]


def _chat(body: dict[str, Any], wish: str) -> Any:
    head = {"id": "c", "created": 1, "model": "gpt-test-1", "service_tier": "default"}
    message: dict[str, Any] = {"role": "assistant", "content": "Hanoi"}
    if wish == "json":
        message["content"] = '{"city": "Hanoi"}'
    if body.get("tools"):
        message = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
    if body.get("audio"):
        message = {"role": "assistant", "content": None, "audio": AUDIO}
    if not body.get("stream"):
        choices = [
            {"index": index, "message": message, "finish_reason": "stop", "logprobs": None}
            for index in range(body.get("n", 1))
        ]
        return 200, {**head, "object": "chat.completion", "choices": choices, "usage": USAGE}

    def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "finish_reason": finish}
        return {**head, "object": "chat.completion.chunk", "choices": [choice]}

    if body.get("tools"):
        begun = {**TOOL_CALL, "index": 0, "function": {"name": "weather", "arguments": ""}}
        pieces = [{"index": 0, "function": {"arguments": text}} for text in ('{"city":', '"Hanoi"}')]
        deltas: list[Any] = [
            chunk({"role": "assistant", "content": None, "tool_calls": [begun]}),
            *(chunk({"tool_calls": [piece]}) for piece in pieces),
            chunk({}, "tool_calls"),
        ]
    else:
        deltas = [
            chunk({"role": "assistant", "content": ""}, None, index) for index in range(body.get("n", 1))
        ]
        for text in ("Ha", "noi"):
            deltas += [chunk({"content": text}, None, index) for index in range(body.get("n", 1))]
        if wish == "thinks":
            deltas.insert(1, chunk({"reasoning_content": "Hm."}))
        if wish == "breaks":
            return [*deltas, None]
        if wish == "error event":
            return [*deltas, {"error": {"message": "engine died"}}]
        if wish == "endless":
            return [*deltas, *(chunk({"content": "!"}) for _ in range(10_000))]
        deltas += [chunk({}, "stop", index) for index in range(body.get("n", 1))]
    return [*deltas, {**head, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}]
