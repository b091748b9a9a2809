"""A FastAPI application that starts the relay in each of its workers, for test_start_relay.py."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import offpath


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    offpath.start_relay(langfuse_secret_key=os.environ["TEST_SECRET_KEY"])
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/{name}")
async def record(name: str) -> int:
    offpath.get_client().start_observation(name=name).end()
    return os.getpid()
