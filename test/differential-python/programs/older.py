"""What Langfuse 3 and 4 have and 5 has no more."""

from __future__ import annotations

from typing import Any

from .program import SPAN_ID, TRACE_ID, program


@program("starters of Langfuse 3", versions=(3,))
def starters(client: Any, package: Any, report: Any) -> None:
    span = client.start_span(name="span", input="i", metadata={"a": 1})
    generation = span.start_generation(name="generation", model="m", usage_details={"input": 1})
    generation.end()
    child = span.start_span(name="child")
    child.end()
    span.end()
    client.start_generation(name="alone", model="m", model_parameters={"t": 1}).end()
    with client.start_as_current_span(name="active span", output="o") as active:
        with client.start_as_current_generation(name="active generation", model="m"):
            pass
        with active.start_as_current_span(name="by method"):
            pass
        with active.start_as_current_generation(name="generation by method", input="x"):
            pass
    client.start_span(
        name="in a trace", trace_context={"trace_id": TRACE_ID, "parent_span_id": SPAN_ID}
    ).end()


@program("trace updates of Langfuse 3", versions=(3,))
def trace_updates(client: Any, package: Any, report: Any) -> None:
    span = client.start_span(name="span")
    span.update_trace(
        name="trace",
        user_id="u",
        session_id="s",
        version="v",
        input={"in": 1},
        output="out",
        metadata={"text": "x", "number": 1, "deep": {"a": [1]}},
        tags=["a", "b"],
        public=True,
    )
    span.end()
    with client.start_as_current_span(name="active"):
        client.update_current_trace(name="by client", user_id="u2", metadata={"m": "1"})
        client.update_current_trace(metadata={"n": "2"}, tags=["t"])
    client.update_current_trace(name="nobody's")


@program("trace input and output of Langfuse 4", versions=(4,))
def trace_io(client: Any, package: Any, report: Any) -> None:
    with client.start_as_current_observation(name="root") as root:
        root.set_trace_io(input={"question": 1}, output="answer")
        with client.start_as_current_observation(name="child"):
            client.set_current_trace_io(output=[1, 2])


@program("public traces", versions=(4, 5))
def public(client: Any, package: Any, report: Any) -> None:
    with client.start_as_current_observation(name="root") as root:
        root.set_trace_as_public()
    with client.start_as_current_observation(name="current"):
        client.set_current_trace_as_public()
