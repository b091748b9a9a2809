"""A Langfuse for prompts: a real HTTP server on a free port, as far as its prompt API goes."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PUBLIC_KEY = "pk-lf-public"
SECRET_KEY = "sk-lf-very-secret"


class PromptServer:
    def __init__(self, port: int = 0) -> None:
        #: In their order; a label stands at one version of a name.
        self.prompts: list[dict[str, Any]] = []
        #: (method, path with query, headers, body) of each request.
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        #: What the next requests are answered instead: (status, headers, body), or "reset", "hang", "trickle".
        self.instead: list[Any] = []
        #: While it is not set, no request is answered.
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self, "GET")

            def do_POST(self) -> None:
                server.answer(self, "POST")

            def do_PATCH(self) -> None:
                server.answer(self, "PATCH")

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        self._is_open = True

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.gate.set()
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()

    def add(self, name: str, prompt: Any, *labels: str, **more: Any) -> dict[str, Any]:
        version = 1 + max((each["version"] for each in self.prompts if each["name"] == name), default=0)
        made = {
            "id": f"{name}-{version}",
            "type": "text" if isinstance(prompt, str) else "chat",
            "name": name,
            "version": version,
            "prompt": prompt,
            "config": {},
            "labels": [],
            "tags": [],
            "commitMessage": None,
            **more,
        }
        self.prompts.append(made)
        self.label(made, [*labels, "latest"])
        return made

    def label(self, prompt: dict[str, Any], labels: list[str]) -> None:
        for each in self.prompts:
            if each["name"] == prompt["name"]:
                each["labels"] = [label for label in each["labels"] if label not in labels]
        prompt["labels"] += labels

    def answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        with self._lock:
            self.requests.append((method, handler.path, dict(handler.headers), body))
            instead = self.instead.pop(0) if self.instead else None
        self.gate.wait(10)
        try:
            if instead == "reset":
                handler.connection.close()
            elif instead == "hang":
                time.sleep(1)
            elif instead == "trickle":
                handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                for _ in range(100):
                    handler.wfile.write(b" ")
                    time.sleep(0.02)
            elif instead is not None:
                self._send(handler, *instead)
            else:
                self._send(handler, *self._handle(handler, method, body))
        except OSError:
            pass

    def _handle(
        self, handler: BaseHTTPRequestHandler, method: str, body: Any
    ) -> tuple[int, dict[str, str], Any]:
        expected = base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
        if handler.headers.get("Authorization") != f"Basic {expected}":
            return 401, {}, {"error": "UnauthorizedError", "message": "Invalid credentials"}
        parts = urlsplit(handler.path)
        query = parse_qs(parts.query) or {"label": ["production"]}
        path = [unquote(part) for part in parts.path.split("/")][1:]
        assert path[:4] == ["api", "public", "v2", "prompts"], path
        with self._lock:
            if method == "POST":
                more = {"config": body.get("config"), "tags": body.get("tags") or []}
                return (
                    201,
                    {},
                    self.add(
                        body["name"],
                        body["prompt"],
                        *body["labels"],
                        **more,
                        commitMessage=body.get("commitMessage"),
                    ),
                )
            for each in self.prompts:
                if each["name"] != path[4]:
                    continue
                if method == "PATCH" and each["version"] == int(path[6]):
                    self.label(each, body["newLabels"])
                    return 200, {}, each
                if method == "GET" and (
                    str(each["version"]) in query.get("version", [])
                    or set(each["labels"]) & set(query.get("label", []))
                ):
                    return 200, {}, each
        return 404, {}, {"error": "LangfuseNotFoundError", "message": f"Prompt not found: '{path[4]}'"}

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
