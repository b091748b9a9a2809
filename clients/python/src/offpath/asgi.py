"""Middleware for FastAPI, Starlette and any other ASGI application: an observation around each request.

    app.add_middleware(OffpathMiddleware, exclude=["/health", "/static/*"])

What handlers observe becomes a child of it, `get_client().update_current_span(input=…)` in a handler sets it. It stays
open until the last byte of the body is handed to the server, and ends with an event:

    POST /api/chat          span: attributes of the request and its status
    └── API_REQUEST_COMPLETE    event, metadata: status, total_ms, upstream_ms, loop_stall_ms

No body is read or kept. That the client has gone is seen where the application asks for it, as streaming responses do, or
where the server refuses what is sent.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from time import monotonic_ns
from typing import Any, TypeAlias

from ._api.client import Langfuse, get_client
from ._api.context import Active, active, leave
from ._api.observation import LangfuseObservationWrapper, RemoteParent, SpanLevel, begin, fields_of
from ._api.upstream import Upstream, current_upstream
from ._config import logger
from ._loop_stall import LoopWatch

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: https://www.w3.org/TR/trace-context/#traceparent-header. Later versions may append fields.
_TRACEPARENT = re.compile("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_CLIENT_GONE = 499
#: Closed as agreed, by a page that was left, or without a code.
_USUAL_CLOSE = (1000, 1001, 1005)
_SERVER_FAILED = (1011, 1012, 1013, 1014)


class OffpathMiddleware:
    """A root observation around each HTTP request and each WebSocket session.

    `name`: of the observation, or a function that makes it of the ASGI scope; else `POST /items/{id}`, with the path itself
    until a route is known. `exclude`: paths that are not observed, with `*` for anything. `public_key`: of the client, where
    there are several. A valid W3C `traceparent` header makes the caller's span the parent, and what is not sampled there is
    not recorded; `trust_traceparent=False` ignores it, for services that anybody may call.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        name: str | Callable[[Scope], str] | None = None,
        exclude: Iterable[str] = (),
        public_key: str | None = None,
        trust_traceparent: bool = True,
    ) -> None:
        self.app = app
        self._name = name
        patterns = [fnmatch.translate(path) for path in exclude]
        self._excluded = re.compile("|".join(patterns)) if patterns else None
        self._public_key = public_key
        self._trusts = trust_traceparent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket") or (
            self._excluded is not None and self._excluded.match(scope["path"])
        ):
            await self.app(scope, receive, send)
            return
        exchange = _Http if kind == "http" else _WebSocket
        parent = _remote_parent(scope) if self._trusts else None
        traced = exchange(get_client(public_key=self._public_key), scope, receive, send, self._name, parent)
        try:
            await self.app(scope, traced.receive, traced.send)
        except BaseException as error:
            traced.fail(error)
            raise
        finally:
            traced.leave()


class _Exchange:
    """One request or session. It is active from its construction until `leave`."""

    def __init__(
        self,
        client: Langfuse,
        scope: Scope,
        receive: Receive,
        send: Send,
        name: str | Callable[[Scope], str] | None,
        parent: RemoteParent | None,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._root_path = str(scope.get("root_path", ""))
        self._path = str(scope["path"])
        self._has_name = name is not None
        self.method = str(scope.get("method", "WEBSOCKET"))
        attributes = {"url.path": scope["path"]}
        if "method" in scope:
            attributes["http.request.method"] = self.method
        text = f"{self.method} {scope['path']}"
        if name is not None:
            try:
                text = name if isinstance(name, str) else str(name(scope))
            except Exception as error:
                logger.warning("OffpathMiddleware: name failed: %s", type(error).__name__)
        outer = active.get()
        self.root: LangfuseObservationWrapper = begin(
            client,
            "span",
            text,
            parent or (outer.observation if outer is not None else None),
            {"attributes": attributes},
            members=',"kind":"server"',
        )
        self._token = active.set(Active(self.root, outer.propagated if outer is not None else None))
        self._client_gone = False
        self._ended = False

    async def receive(self) -> Message:
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        raise NotImplementedError

    def leave(self) -> None:
        leave(self._token)
        self.end()

    def end(self) -> None:
        raise NotImplementedError

    def end_root(
        self,
        level: SpanLevel | None,
        status_message: str | None,
        attributes: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        template = _template(self._scope, self._root_path, self._path)
        fields = fields_of(self.root._client, None, None, metadata, None, level, status_message)
        if template is not None:
            attributes["http.route"] = template
            if not self._has_name:
                fields["name"] = f"{self.method} {template}"
        if attributes:
            fields["attributes"] = attributes
        self.root._record(fields)
        self.root.end()


class _Http(_Exchange):
    def __init__(self, *arguments: Any) -> None:
        self._began = monotonic_ns()
        self._watch = LoopWatch()
        self._upstream = Upstream()
        self._upstream_token = current_upstream.set(self._upstream)
        self._status = 0
        self._pieces = 0
        self._error: str | None = None
        self._cancelled = False
        super().__init__(*arguments)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._client_gone = True
        return message

    async def send(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            # What servers raise when the client has gone.
            self._client_gone = True
            raise
        kind = message["type"]
        if kind == "http.response.start":
            self._status = int(message["status"])
        elif kind == "http.response.body":
            self._pieces += 1
            if not message.get("more_body", False):
                self._end(self._status, *_judge(self._status))
        elif kind == "http.response.pathsend":
            self._end(self._status, *_judge(self._status))

    def fail(self, error: BaseException) -> None:
        if self._ended or self._client_gone:
            return
        error = _only(error)
        if isinstance(error, Exception):
            self.root._fail(error)
            self._error = _described(error)
        else:
            self._cancelled = True

    def leave(self) -> None:
        try:
            current_upstream.reset(self._upstream_token)
        except ValueError:
            # Left in another context than it was entered in.
            pass
        super().leave()

    def end(self) -> None:
        """When the application has returned, and not answered in full."""
        if self._ended:
            return
        when = "before the response" if self._status == 0 else f"after {self._pieces} pieces of the response"
        if self._error is not None:
            # What the client would have got, had the response not begun.
            self._end(500, "ERROR", self._error)
        elif self._client_gone:
            self._end(_CLIENT_GONE, "WARNING", f"the client closed the connection {when}")
        elif self._cancelled:
            self._end(_CLIENT_GONE, "WARNING", f"the request was cancelled {when}")
        else:
            self._end(self._status or 500, "ERROR", f"the application returned {when} was complete")

    def _end(self, status: int, level: SpanLevel | None, status_message: str | None) -> None:
        if self._ended:
            return
        self._ended = True
        times: dict[str, Any] = {
            "status": status,
            "total_ms": _tenths((monotonic_ns() - self._began) / 1e6),
            "upstream_ms": _tenths(self._upstream.total_ns() / 1e6),
        }
        stall = self._watch.end()
        if stall is not None:
            times["loop_stall_ms"] = _tenths(stall * 1000)
        self.root.create_event(
            name="API_REQUEST_COMPLETE", metadata=times, level=level, status_message=status_message
        )
        answered = self._status or (500 if self._error is not None else 0)
        self.end_root(level, status_message, {"http.response.status_code": answered} if answered else {})


class _WebSocket(_Exchange):
    def __init__(self, *arguments: Any) -> None:
        self._received = 0
        self._sent = 0
        self._is_accepted = False
        self._code: int | None = None
        self._level: SpanLevel | None = None
        self._status_message: str | None = None
        super().__init__(*arguments)

    async def receive(self) -> Message:
        message = await self._receive()
        kind = message["type"]
        if kind == "websocket.receive":
            self._received += 1
        elif kind == "websocket.disconnect":
            self._client_gone = True
            self._closed("the client", message.get("code") or 1005)
        return message

    async def send(self, message: Message) -> None:
        await self._send(message)
        kind = message["type"]
        if kind == "websocket.send":
            self._sent += 1
        elif kind == "websocket.accept":
            self._is_accepted = True
        elif kind == "websocket.close" and not self._is_accepted:
            self._level, self._status_message = "WARNING", "the application refused the session"
        elif kind == "websocket.close":
            self._closed("the application", message.get("code") or 1000)
        elif kind == "websocket.http.response.start":
            self._level, self._status_message = _judge(int(message["status"]))

    def _closed(self, by: str, code: int) -> None:
        if self._code is not None:
            return
        self._code = code
        if code not in _USUAL_CLOSE:
            self._level = "ERROR" if code in _SERVER_FAILED else "WARNING"
            self._status_message = f"{by} closed the session with code {code}"

    def fail(self, error: BaseException) -> None:
        # A handler that does not catch the end of its session has not failed.
        if self._client_gone and (isinstance(error, OSError) or "Disconnect" in type(error).__name__):
            return
        error = _only(error)
        if isinstance(error, Exception):
            self.root._fail(error)
            self._level, self._status_message = "ERROR", _described(error)
        elif self._code is None:
            self._level, self._status_message = "WARNING", "the session was cancelled"

    def end(self) -> None:
        self.end_root(
            self._level,
            self._status_message,
            {},
            {"received": self._received, "sent": self._sent, "close_code": self._code},
        )


def _judge(status: int) -> tuple[SpanLevel | None, str | None]:
    if status < 400:
        return None, None
    try:
        text = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        text = str(status)
    return ("ERROR" if status >= 500 else "WARNING"), text


def _only(error: BaseException) -> BaseException:
    """Of a group of one, as older Starlettes raise it out of a stream, that one."""
    inner = getattr(error, "exceptions", None)
    return _only(inner[0]) if isinstance(inner, tuple) and len(inner) == 1 else error


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _template(scope: Scope, root_path: str, path: str) -> str | None:
    """The route's path, as FastAPI and Starlette leave it in the scope, with that of the application it is mounted in."""
    template = getattr(scope.get("route"), "path", None)
    if isinstance(template, str):
        mounted: str = scope.get("root_path", "")
        return mounted.removeprefix(root_path) + template
    if "endpoint" not in scope:
        return None
    # Older Starlettes leave the parameters alone.
    for name, value in scope.get("path_params", {}).items():
        path = path.replace(f"/{value}", f"/{{{name}}}", 1)
    return path


def _remote_parent(scope: Scope) -> RemoteParent | None:
    found = [value for key, value in scope.get("headers", ()) if key == b"traceparent"]
    if len(found) != 1:
        return None
    match = _TRACEPARENT.fullmatch(found[0].decode("latin-1").strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return RemoteParent(
        trace_id,
        span_id,
        flags=',"app_root":true,"remote_parent":true',
        is_sampled=bool(int(flags, 16) & _SAMPLED),
    )


def _tenths(ms: float) -> float:
    return round(ms, 1)
