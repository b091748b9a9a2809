"""An application for test_gunicorn.py. With `--preload` its module is loaded, and records, before the workers are forked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from offpath import get_client, observe

client = get_client()
client.start_observation(name="loaded").end()


@observe()
def answer(path: str) -> str:
    client.update_current_span(metadata={"pid": os.getpid()})
    return path.upper()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    with client.start_as_current_observation(name="request", input=environ["PATH_INFO"]):
        body = answer(environ["PATH_INFO"]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
