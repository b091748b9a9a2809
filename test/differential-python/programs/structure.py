from __future__ import annotations

import time
from typing import Any

from .program import OTHER_TRACE_ID, SPAN_ID, START, TRACE_ID, program

TYPES = (
    "span",
    "generation",
    "embedding",
    "agent",
    "tool",
    "chain",
    "retriever",
    "evaluator",
    "guardrail",
)


@program("all types of observations")
def all_types(client: Any, package: Any, report: Any) -> None:
    for kind in TYPES:
        observation = client.start_observation(
            name=kind, as_type=kind, input={"of": kind}, output=[kind], metadata={"kind": kind}
        )
        report(kind, type(observation).__name__)
        report(f"{kind} returns itself", observation.update(level="WARNING") is observation)
        report(f"{kind} ends as itself", observation.end() is observation)
    event = client.start_observation(name="event", as_type="event", input="in", output="out")
    report("event", type(event).__name__)


@program("an unknown type")
def unknown_type(client: Any, package: Any, report: Any) -> None:
    client.start_observation(name="unknown", as_type="step", input=1).end()


@program("all types as context managers")
def all_types_active(client: Any, package: Any, report: Any) -> None:
    with client.start_as_current_observation(name="root", as_type="agent") as root:
        report("root is active", client.get_current_observation_id() == root.id)
        report("its trace", client.get_current_trace_id() == root.trace_id)
        for kind in TYPES:
            with client.start_as_current_observation(
                name=kind, as_type=kind, input=kind, status_message="fine", level="DEBUG", version="2"
            ) as observation:
                report(kind, type(observation).__name__)
                client.start_observation(name=f"in {kind}").end()
    report("active afterwards", client.get_current_observation_id())
    report("trace afterwards", client.get_current_trace_id())


@program("nesting by methods")
def nesting(client: Any, package: Any, report: Any) -> None:
    root = client.start_observation(name="root")
    child = root.start_observation(name="child", as_type="chain")
    grandchild = child.start_observation(name="grandchild", as_type="generation", model="m")
    grandchild.end()
    with child.start_as_current_observation(name="active", as_type="span") as active:
        client.start_observation(name="below the active").end()
        active.create_event(name="event of the active", input="x")
    child.end()
    root.end()
    client.start_observation(name="a trace of its own").end()


@program("a child of an observation that has ended")
def late_child(client: Any, package: Any, report: Any) -> None:
    root = client.start_observation(name="root")
    root.end()
    root.start_observation(name="late", as_type="span").end()
    root.update(output="too late")
    root.end()


@program("events")
def events(client: Any, package: Any, report: Any) -> None:
    client.create_event(name="alone", input={"a": 1}, metadata={"b": 2}, level="WARNING", status_message="m")
    with client.start_as_current_observation(name="root") as root:
        client.create_event(name="below the active", output=[1])
        root.create_event(name="of the root", version="7")
        event = client.create_event(name="updated")
        event.update(output="ignored")
        report("end returns", event.end() is event)
    client.create_event(name="in a trace", trace_context={"trace_id": TRACE_ID, "parent_span_id": SPAN_ID})


@program("end_on_exit")
def end_on_exit(client: Any, package: Any, report: Any) -> None:
    with client.start_as_current_observation(name="ended by hand", end_on_exit=False) as observation:
        pass
    observation.update(output="after the block")
    observation.end()
    with client.start_as_current_observation(name="ended twice", end_on_exit=True) as observation:
        observation.end()


@program("explicit end times")
def end_times(client: Any, package: Any, report: Any) -> None:
    now = time.time_ns()
    client.start_observation(name="later").end(end_time=now + 7_000_000_000)
    future = 4_000_000_000_123_456_789
    client.start_observation(name="given").end(end_time=future)


@program("trace contexts")
def trace_contexts(client: Any, package: Any, report: Any) -> None:
    client.start_observation(
        name="with a parent", trace_context={"trace_id": TRACE_ID, "parent_span_id": SPAN_ID}
    ).end()
    client.start_observation(name="without", trace_context={"trace_id": OTHER_TRACE_ID}).end()
    with client.start_as_current_observation(
        name="active", trace_context={"trace_id": TRACE_ID, "parent_span_id": SPAN_ID}
    ):
        client.start_observation(name="below").end()
    with client.start_as_current_observation(name="outer"):
        client.start_observation(name="elsewhere", trace_context={"trace_id": TRACE_ID}).end()


@program("ids")
def ids(client: Any, package: Any, report: Any) -> None:
    report("seeded", client.create_trace_id(seed="seed"))
    report("seeded with Unicode", client.create_trace_id(seed="Tiếng Việt 😀"))
    report("a new one", len(client.create_trace_id()))
    report("nothing active", client.get_current_trace_id())
    client.start_observation(
        name="seeded", trace_context={"trace_id": client.create_trace_id(seed="seed")}
    ).end()


@program("updates")
def updates(client: Any, package: Any, report: Any) -> None:
    observation = client.start_observation(
        name="named anew", input="first", metadata={"kept": 1, "changed": 1}, level="DEBUG", version="1"
    )
    observation.update(name="named", input="second", metadata={"changed": 2, "added": {"deep": [1]}})
    observation.update(output="third", level="WARNING", status_message="so", version="2")
    observation.update(output=None, metadata=None, level=None, unknown="ignored")
    observation.end()
    nothing = client.start_observation(name="nothing", input=None, metadata={}, output="")
    nothing.update()
    nothing.end()
    falsy = client.start_observation(name="falsy", input=0, output=False, metadata={"zero": 0, "empty": ""})
    falsy.update(input=[], output={})
    falsy.end()


@program("updates of the active observation")
def current_updates(client: Any, package: Any, report: Any) -> None:
    client.update_current_span(output="nobody's")
    with client.start_as_current_observation(name="span"):
        client.update_current_span(
            name="renamed",
            input="in",
            output="out",
            metadata={"a": 1},
            version="v",
            level="ERROR",
            status_message="bad",
        )
    with client.start_as_current_observation(name="generation", as_type="generation"):
        client.update_current_generation(
            model="qwen3",
            completion_start_time=START,
            usage_details={"input": 3, "output": 4},
            cost_details={"input": 0.1},
            model_parameters={"temperature": 0.5},
            output={"role": "assistant"},
        )


@program("what generations have")
def generations(client: Any, package: Any, report: Any) -> None:
    client.start_observation(
        name="all",
        as_type="generation",
        model="qwen3-32b",
        model_parameters={"temperature": 0.2, "max_tokens": 100, "stop": ["a", "b"], "stream": True},
        usage_details={"input": 412, "output": 128, "input_cached_tokens": 3},
        cost_details={"input": 0.000412, "output": 0.25, "total": 1e-9},
        completion_start_time=START,
        input=[{"role": "user", "content": "hi"}],
    ).end()
    client.start_observation(
        name="embedding", as_type="embedding", model="bge", usage_details={"input": 5}
    ).end()
    generation = client.start_observation(name="updated", as_type="generation")
    generation.update(model="m2", usage_details={"output": 1}, model_parameters={}, cost_details={})
    generation.end()
    client.start_observation(name="span", as_type="span", model="not a generation").end()
    with client.start_as_current_observation(name="became a generation"):
        client.update_current_generation(model="m3")
    tool = client.start_observation(name="tool", as_type="tool", model="at the start")
    tool.update(model="set by update", usage_details={"input": 1})
    tool.end()


class Prompt:
    name = "greeting"
    version = 3
    is_fallback = False


class Fallback(Prompt):
    is_fallback = True


@program("prompts")
def prompts(client: Any, package: Any, report: Any) -> None:
    client.start_observation(name="linked", as_type="generation", prompt=Prompt()).end()
    client.start_observation(name="fallback", as_type="generation", prompt=Fallback()).end()
    client.start_observation(name="by update", as_type="generation").update(prompt=Prompt()).end()
    with client.start_as_current_observation(name="active", as_type="generation", prompt=Prompt()):
        client.update_current_generation(output="x")


@program("levels and status messages")
def levels(client: Any, package: Any, report: Any) -> None:
    for level in ("DEBUG", "DEFAULT", "WARNING", "ERROR"):
        client.start_observation(name=level, level=level).end()
        client.start_observation(name=f"{level} with a message", level=level, status_message="m").end()
        client.start_observation(name=f"{level} by update").update(level=level, status_message="u").end()
    again = client.start_observation(name="error again", level="ERROR", status_message="first")
    again.update(level="ERROR").end()
    client.start_observation(name="message alone", status_message="m").end()
    client.start_observation(name="back", level="ERROR", status_message="e").update(level="DEFAULT").end()


@program("decorators from context managers")
def decorators(client: Any, package: Any, report: Any) -> None:
    @client.start_as_current_observation(name="decorated", as_type="tool")
    def twice(n: int) -> int:
        client.update_current_span(output=n)
        return 2 * n

    report("called", twice(4))


@program(
    "the environment's settings", env={"LANGFUSE_TRACING_ENVIRONMENT": "staging", "LANGFUSE_RELEASE": "r1"}
)
def environment(client: Any, package: Any, report: Any) -> None:
    client.start_observation(name="one").end()


@program("switched off", env={"LANGFUSE_TRACING_ENABLED": "false"})
def switched_off(client: Any, package: Any, report: Any) -> None:
    with client.start_as_current_observation(name="root") as root:
        root.update(output=1)
        root.start_observation(name="child", as_type="span").end()
        report("active", client.get_current_trace_id())

    @package.observe()
    def observed() -> int:
        return 3

    report("observed", observed())


@program("sampled out", env={"LANGFUSE_SAMPLE_RATE": "0"})
def sampled_out(client: Any, package: Any, report: Any) -> None:
    with client.start_as_current_observation(name="root") as root:
        root.start_observation(name="child", as_type="span").end()
        client.create_event(name="event")


@program("captures switched off", env={"LANGFUSE_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED": "false"})
def captures_off(client: Any, package: Any, report: Any) -> None:
    @package.observe()
    def off(a: int) -> int:
        return a

    @package.observe(capture_input=True, capture_output=True)
    def on(a: int) -> int:
        return a

    report("results", (off(1), on(2)))


@program("never ended", leaves_open=("open",))
def never_ended(client: Any, package: Any, report: Any) -> None:
    root = client.start_observation(name="open", input="i")
    root.start_observation(name="ended", as_type="span").end()


def hide(*, data: Any, **_: Any) -> Any:
    if data == "fail":
        raise ValueError("no")
    return "hidden" if data == "secret" else data


@program("a mask", env={"LANGFUSE_TRACING_ENVIRONMENT": "masked"}, arguments={"mask": hide})
def mask(client: Any, package: Any, report: Any) -> None:
    client.start_observation(name="hidden", input="secret", output="plain", metadata={"a": "secret"}).end()
    client.start_observation(name="failing", input="fail").update(output="secret").end()
    with client.start_as_current_observation(name="active", input="secret") as active:
        active.update(metadata="secret")

    @package.observe()
    def observed(value: str) -> str:
        return value

    observed("secret")
