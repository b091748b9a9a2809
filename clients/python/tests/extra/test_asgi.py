from __future__ import annotations

import asyncio
import importlib.util
import socket
import time
import unittest
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from server import serving, wait_until

from offpath import get_client, observe
from offpath.asgi import OffpathMiddleware
from tests.support import SpoolTest

_MISSING = [name for name in ("fastapi", "uvicorn", "httpx") if importlib.util.find_spec(name) is None]
if not _MISSING:
    import httpx
    from fastapi import APIRouter, FastAPI, WebSocket
    from fastapi.responses import StreamingResponse
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

_TRACE = "0af7651916cd43dd8448eb211c80319c"
_SPAN = "b7ad6b7169203331"


def _app() -> Any:
    app = FastAPI()
    app.add_middleware(OffpathMiddleware, exclude=["/health", "/static/*"])
    router = APIRouter(prefix="/api")

    @router.get("/items/{item}")
    async def item(item: int) -> dict[str, int]:
        get_client().update_current_span(input={"item": item})
        with get_client().start_as_current_observation(name="look up", as_type="retriever"):
            return {"item": item}

    @router.get("/threaded")
    def threaded() -> str:
        with get_client().start_as_current_observation(name="in a thread"):
            return "ok"

    @router.get("/stream")
    async def stream() -> Any:
        @observe(name="tokens", as_type="generation")
        async def tokens() -> AsyncIterator[str]:
            for n in range(3):
                await asyncio.sleep(0.05)
                yield f"{n} "

        return StreamingResponse(tokens())

    @router.get("/endless")
    async def endless() -> Any:
        @observe(name="tokens", as_type="generation")
        async def tokens() -> AsyncIterator[str]:
            while True:
                await asyncio.sleep(0.005)
                yield "more "

        return StreamingResponse(tokens())

    @router.get("/fails")
    async def fails() -> None:
        raise ValueError("no such thing")

    @router.get("/fails-late")
    async def fails_late() -> Any:
        async def tokens() -> AsyncIterator[str]:
            yield "one"
            raise ValueError("in the middle")

        return StreamingResponse(tokens())

    @router.get("/blocks")
    async def blocks() -> str:
        time.sleep(0.12)
        return "ok"

    @router.get("/together")
    async def together() -> str:
        async def call() -> None:
            with get_client().start_as_current_observation(name="call", as_type="generation"):
                await asyncio.sleep(0.1)

        await asyncio.gather(call(), call())
        await asyncio.sleep(0.1)
        return "ok"

    @router.get("/status/{code}")
    async def status(code: int) -> Any:
        return JSONResponse({}, status_code=code)

    @app.get("/health")
    @app.get("/static/x.js")
    async def health() -> str:
        return "ok"

    app.include_router(router)

    @app.websocket("/closed")
    async def closed(socket: WebSocket) -> None:
        await socket.close()

    @app.websocket("/talk/{room}")
    async def talk(socket: WebSocket, room: str) -> None:
        await socket.accept()
        while True:
            text = await socket.receive_text()
            if text == "fail":
                raise ValueError("no such word")
            if text == "close":
                await socket.close(4000)
                return
            with get_client().start_as_current_observation(name="turn", as_type="agent"):
                await socket.send_text(text.upper())

    return app


@unittest.skipIf(_MISSING, f"{', '.join(_MISSING)} not installed")
class Http(SpoolTest):
    def get(self, path: str, **options: Any) -> httpx.Response:
        with serving(_app()) as url:
            return httpx.get(url + path, **options)

    def root(self) -> dict[str, Any]:
        roots = [each for each in self.spool().observations().values() if each.get("kind") == "server"]
        self.assertEqual(len(roots), 1)
        return roots[0]

    def complete(self) -> dict[str, Any]:
        event = self.spool().named("API_REQUEST_COMPLETE")
        self.assertEqual(event["parent_span_id"], self.root()["span_id"])
        self.assertEqual(event["type"], "event")
        self.assertIn("end_time", self.root())
        metadata: dict[str, Any] = event["metadata"]
        return metadata

    def test_a_request_is_named_after_its_route_and_has_what_its_handler_observes(self) -> None:
        self.assertEqual(self.get("/api/items/7?secret=1").json(), {"item": 7})
        root = self.root()
        self.assertEqual(root["name"], "GET /api/items/{item}")
        self.assertEqual(root["input"], {"item": 7})
        self.assertEqual(
            root["attributes"],
            {"http.route": "/api/items/{item}", "http.response.status_code": 200},
        )
        first = self.spool().of("start")[0]
        self.assertEqual(first["attributes"], {"url.path": "/api/items/7", "http.request.method": "GET"})
        self.assertNotIn("level", root)
        self.assertEqual(self.spool().named("look up")["parent_span_id"], root["span_id"])
        self.assertEqual(set(self.complete()), {"status", "total_ms", "upstream_ms", "loop_stall_ms"})
        self.assertEqual(self.complete()["status"], 200)

    def test_a_handler_in_a_thread(self) -> None:
        self.get("/api/threaded")
        self.assertEqual(self.spool().named("in a thread")["parent_span_id"], self.root()["span_id"])

    def test_a_stream_is_open_to_its_end(self) -> None:
        self.assertEqual(self.get("/api/stream").text, "0 1 2 ")
        generation, root = self.spool().named("tokens"), self.root()
        self.assertEqual(generation["output"], "0 1 2 ")
        self.assertEqual(generation["parent_span_id"], root["span_id"])
        self.assertGreaterEqual(int(root["end_time"]), int(generation["end_time"]))
        times = self.complete()
        self.assertGreaterEqual(times["total_ms"], 140)
        self.assertGreaterEqual(times["upstream_ms"], 140)
        self.assertLessEqual(times["upstream_ms"], times["total_ms"])

    def test_a_client_that_leaves(self) -> None:
        with serving(_app()) as url:
            address = urlsplit(url)
            with socket.create_connection((str(address.hostname), int(address.port or 0))) as connection:
                connection.sendall(b"GET /api/endless HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertIn(b"200 OK", connection.recv(1000))
            wait_until(lambda: "end_time" in self.root())
        self.assertEqual(self.root()["level"], "WARNING")
        self.assertRegex(self.root()["status_message"], r"the client closed the connection after \d+ pieces")
        self.assertEqual(self.complete()["status"], 499)
        self.assertIn("end_time", self.spool().named("tokens"))

    def test_failures(self) -> None:
        self.assertEqual(self.get("/api/fails").status_code, 500)
        root = self.root()
        self.assertEqual((root["level"], root["status_message"]), ("ERROR", "ValueError: no such thing"))
        self.assertEqual(root["events"][0]["attributes"]["exception.type"], "ValueError")
        self.assertEqual(self.complete()["status"], 500)

    def test_a_failure_in_the_middle_of_a_stream(self) -> None:
        with self.assertRaises(httpx.RemoteProtocolError):
            self.get("/api/fails-late")
        root = self.root()
        self.assertEqual((root["level"], root["status_message"]), ("ERROR", "ValueError: in the middle"))
        self.assertEqual(root["attributes"]["http.response.status_code"], 200)
        self.assertEqual(self.complete()["status"], 500)

    def test_levels_follow_the_status(self) -> None:
        for code, level, text in (
            (302, None, None),
            (404, "WARNING", "404 Not Found"),
            (503, "ERROR", "503 Service Unavailable"),
            (599, "ERROR", "599"),
        ):
            with self.subTest(code=code):
                self.setUp()
                self.get(f"/api/status/{code}")
                self.assertEqual((self.root().get("level"), self.root().get("status_message")), (level, text))
                self.assertEqual(self.spool().named("API_REQUEST_COMPLETE").get("level"), level)

    def test_a_path_without_a_route_keeps_its_own_name(self) -> None:
        self.get("/nowhere")
        self.assertEqual(self.root()["name"], "GET /nowhere")

    def test_excluded_paths(self) -> None:
        self.get("/health")
        self.get("/static/x.js")
        self.assertEqual(self.spool().records, [])

    def test_a_blocked_loop(self) -> None:
        self.get("/api/blocks")
        times = self.complete()
        self.assertGreaterEqual(times["loop_stall_ms"], 100)
        self.assertEqual(times["upstream_ms"], 0)

    def test_calls_at_the_same_time_count_once(self) -> None:
        self.get("/api/together")
        times = self.complete()
        self.assertGreaterEqual(times["upstream_ms"], 95)
        self.assertLess(times["upstream_ms"], times["total_ms"] - 50)

    def test_the_callers_trace_goes_on(self) -> None:
        self.get("/api/items/1", headers={"traceparent": f"00-{_TRACE}-{_SPAN}-01"})
        root = self.root()
        self.assertEqual((root["trace_id"], root["parent_span_id"]), (_TRACE, _SPAN))
        self.assertTrue(root["remote_parent"] and root["app_root"])
        self.assertNotIn("as_root", root)
        self.assertEqual(self.spool().named("look up")["trace_id"], _TRACE)

    def test_what_the_caller_does_not_sample_is_not_recorded(self) -> None:
        self.get("/api/items/1", headers={"traceparent": f"00-{_TRACE}-{_SPAN}-00"})
        self.assertEqual(self.spool().records, [])

    def test_an_invalid_traceparent_begins_a_trace(self) -> None:
        for value in (
            f"ff-{_TRACE}-{_SPAN}-01",
            f"00-{'0' * 32}-{_SPAN}-01",
            f"00-{_TRACE}-{'0' * 16}-01",
            f"00-{_TRACE.upper()}-{_SPAN}-01",
            f"00-{_TRACE}-{_SPAN}-01-more",
            "",
        ):
            with self.subTest(value=value):
                self.setUp()
                self.get("/api/items/1", headers={"traceparent": value})
                self.assertNotIn("parent_span_id", self.root())

    def test_200_requests_at_once_leave_no_timer_and_no_context_behind(self) -> None:
        app = _app()

        async def main(url: str) -> None:
            async with httpx.AsyncClient(limits=httpx.Limits(max_connections=50), timeout=30) as client:
                answers = await asyncio.gather(*(client.get(f"{url}/api/stream") for _ in range(200)))
                self.assertEqual({answer.text for answer in answers}, {"0 1 2 "})

        with serving(app) as url:
            asyncio.run(main(url))
        spool = self.spool()
        observations = spool.observations()
        roots = {each["span_id"]: each for each in observations.values() if each.get("kind") == "server"}
        self.assertEqual((len(roots), len(observations), spool.lost), (200, 600, 0))
        self.assertTrue(all("end_time" in each for each in observations.values()))
        for name in ("tokens", "API_REQUEST_COMPLETE"):
            parents = [each["parent_span_id"] for each in observations.values() if each["name"] == name]
            self.assertEqual(set(parents), set(roots))
        from offpath._loop_stall import _loops

        self.assertEqual(_loops, {})


@unittest.skipIf(_MISSING, f"{', '.join(_MISSING)} not installed")
class StarletteApp(SpoolTest):
    def test_mounts_names_and_background_tasks(self) -> None:
        async def index(request: Any) -> Any:
            def later() -> None:
                get_client().start_observation(name="later").end()

            return JSONResponse({}, background=BackgroundTask(later))

        inner = Starlette(routes=[Route("/items/{item}", index)])
        app = Starlette(routes=[Mount("/v1", inner), Route("/named", index)])
        app.add_middleware(OffpathMiddleware)
        with serving(app) as url:
            httpx.get(f"{url}/v1/items/3")
            wait_until(lambda: any(each["name"] == "later" for each in self.spool().of("start")))
        root = self.spool().named("GET /v1/items/{item}")
        later = self.spool().named("later")
        self.assertEqual(later["parent_span_id"], root["span_id"])

    def test_given_names(self) -> None:
        async def index(request: Any) -> Any:
            return JSONResponse({})

        def fails(scope: Any) -> str:
            raise KeyError("x")

        for name, expected in (
            ("api.index", "api.index"),
            (lambda scope: f"call {scope['path']}", "call /named"),
            (fails, "GET /named"),
        ):
            with self.subTest(expected=expected):
                self.setUp()
                app = Starlette(routes=[Route("/named", index)])
                app.add_middleware(OffpathMiddleware, name=name)
                with serving(app) as url:
                    httpx.get(f"{url}/named")
                self.spool().named(expected)


@unittest.skipIf(
    _MISSING or importlib.util.find_spec("websockets") is None, "fastapi, uvicorn or websockets not installed"
)
class Session(SpoolTest):
    def talk(self, *words: str, code: int = 1000) -> dict[str, Any]:
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        with serving(_app()) as url:
            with connect(url.replace("http", "ws") + "/talk/7") as connection:
                try:
                    for word in words:
                        connection.send(word)
                        connection.recv()
                except ConnectionClosed:
                    pass
                connection.close(code)
            wait_until(lambda: "end_time" in self.session())
        return self.session()

    def session(self) -> dict[str, Any]:
        found = [each for each in self.spool().observations().values() if each.get("kind") == "server"]
        self.assertEqual(len(found), 1)
        return found[0]

    def test_a_session_is_one_observation(self) -> None:
        session = self.talk("a", "b")
        self.assertEqual(session["name"], "WEBSOCKET /talk/{room}")
        self.assertEqual(session["metadata"], {"received": 2, "sent": 2, "close_code": 1000})
        self.assertNotIn("level", session)
        turns = [each for each in self.spool().observations().values() if each["name"] == "turn"]
        self.assertEqual([each["parent_span_id"] for each in turns], [session["span_id"]] * 2)

    def test_closing_codes(self) -> None:
        session = self.talk("a", "close")
        self.assertEqual(session["level"], "WARNING")
        self.assertEqual(session["status_message"], "the application closed the session with code 4000")

    def test_a_refusal(self) -> None:
        from websockets.exceptions import InvalidStatus
        from websockets.sync.client import connect

        with serving(_app()) as url, self.assertRaises(InvalidStatus):
            connect(url.replace("http", "ws") + "/closed")
        session = self.session()
        self.assertEqual(
            (session["level"], session["status_message"]), ("WARNING", "the application refused the session")
        )

    def test_a_failure(self) -> None:
        session = self.talk("fail")
        self.assertEqual((session["level"], session["status_message"]), ("ERROR", "ValueError: no such word"))
