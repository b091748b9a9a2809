from __future__ import annotations

import asyncio
from typing import Any

from .program import program


@program("propagated attributes")
def all_attributes(client: Any, package: Any, report: Any) -> None:
    trace = {"user_id": "người dùng", "session_id": "s1", "metadata": {"plan": "free"}, "trace_name": "chat"}
    with (
        package.propagate_attributes(**trace, version="v1", tags=["a", "b"]),
        client.start_as_current_observation(name="root") as root,
    ):
        client.start_observation(name="child", as_type="generation").end()
        root.start_observation(name="by method", as_type="span", version="own").end()
        client.create_event(name="event")
    client.start_observation(name="afterwards").end()


@program("propagated environment", versions=(5,))
def environment(client: Any, package: Any, report: Any) -> None:
    with package.propagate_attributes(environment="staging-2"):
        client.start_observation(name="staging").end()
        with package.propagate_attributes(environment="Not Good"):
            client.start_observation(name="still staging").end()
    with package.propagate_attributes(environment="langfuse-x"):
        client.start_observation(name="reserved").end()
    with package.propagate_attributes(environment="x" * 41):
        client.start_observation(name="too long").end()


@program("propagated prompt", versions=(5,))
def prompt(client: Any, package: Any, report: Any) -> None:
    class Prompt:
        name = "greeting"
        version = 3
        is_fallback = False

    class Fallback(Prompt):
        is_fallback = True

    class Other(Prompt):
        name = "other"

    with package.propagate_attributes(prompt=Prompt()):
        client.start_observation(name="generation", as_type="generation").end()
        client.start_observation(name="own", as_type="generation", prompt=Other()).end()
        client.start_observation(name="span").end()
    with package.propagate_attributes(prompt=Fallback()):
        client.start_observation(name="fallback", as_type="generation").end()


@program("propagated inside the active observation")
def inside(client: Any, package: Any, report: Any) -> None:
    with client.start_as_current_observation(name="root"):
        client.start_observation(name="before").end()
        with package.propagate_attributes(user_id="u", tags=["t"], metadata={"k": "v"}, trace_name="n"):
            client.start_observation(name="within").end()
        client.start_observation(name="after").end()


@program("nested propagation")
def nested(client: Any, package: Any, report: Any) -> None:
    with package.propagate_attributes(user_id="outer", tags=["a", "b"], metadata={"k": "1", "kept": "x"}):
        with package.propagate_attributes(
            user_id="inner", tags=["b", "c"], metadata={"k": "2"}, session_id="s"
        ):
            client.start_observation(name="inner").end()
        client.start_observation(name="outer").end()


@program("propagated values that are refused")
def refused(client: Any, package: Any, report: Any) -> None:
    with package.propagate_attributes(user_id="u" * 201, session_id="s" * 200, tags=["ok", "t" * 201]):
        client.start_observation(name="long").end()
    with package.propagate_attributes(user_id=7, tags=["a", 5], metadata={"n": 5, "ok": "x"}):
        client.start_observation(name="no strings").end()
    with package.propagate_attributes(metadata={"long": "m" * 201, "ok": "x"}):
        client.start_observation(name="long metadata").end()
    with package.propagate_attributes():
        client.start_observation(name="nothing").end()


@program("propagation as a decorator")
def decorator(client: Any, package: Any, report: Any) -> None:
    @package.propagate_attributes(user_id="u", session_id="s")
    def work(n: int) -> int:
        client.start_observation(name="in it").end()
        return n

    report("result", work(2))
    client.start_observation(name="outside").end()


@program("propagation across tasks")
async def tasks(client: Any, package: Any, report: Any) -> None:
    async def work(user: str) -> None:
        with (
            package.propagate_attributes(user_id=user),
            client.start_as_current_observation(name=f"of {user}"),
        ):
            await asyncio.sleep(0)
            client.start_observation(name=f"below {user}").end()

    await asyncio.gather(work("one"), work("two"))


@program("propagation with observed functions")
def observed(client: Any, package: Any, report: Any) -> None:
    @package.observe()
    def outer() -> None:
        with package.propagate_attributes(session_id="s", metadata={"a": "1"}):
            inner()

    @package.observe(as_type="tool")
    def inner() -> None:
        client.update_current_span(metadata={"own": True})

    outer()
