"""Random walks through the API: what nobody thought of writing down."""

from __future__ import annotations

import random
from typing import Any

from .program import program

TYPES = ("span", "generation", "embedding", "agent", "tool", "chain", "retriever", "evaluator", "guardrail")
VALUES = (
    None,
    "",
    "text",
    "Tiếng Việt",
    0,
    -1,
    0.25,
    True,
    False,
    [],
    {},
    [1, "two", None],
    {"a": {"b": [1, 2]}},
    {"role": "user", "content": "x" * 9_000},
    ("tuple", 1),
)
LEVELS = (None, None, "DEBUG", "DEFAULT", "WARNING", "ERROR")


class Prompt:
    def __init__(self, version: int, is_fallback: bool) -> None:
        self.name = "p"
        self.version = version
        self.is_fallback = is_fallback


class Walk:
    def __init__(self, client: Any, package: Any, seed: int) -> None:
        self.client = client
        self.package = package
        self.random = random.Random(seed)
        self.count = 0
        self.open: list[Any] = []

    def name(self) -> str:
        self.count += 1
        return f"{self.count}"

    def fields(self) -> dict[str, Any]:
        choose = self.random.choice
        fields = {
            "input": choose(VALUES),
            "output": choose(VALUES),
            "metadata": choose(
                (None, {"a": choose(VALUES[2:])}, {"b": 1, "c": [choose(VALUES)]}, [1], "text")
            ),
            "level": choose(LEVELS),
            "status_message": choose((None, None, "message")),
            "version": choose((None, "1", "2")),
        }
        return {key: value for key, value in fields.items() if self.random.random() < 0.6}

    def generation_fields(self) -> dict[str, Any]:
        choose = self.random.choice
        fields = {
            "model": choose((None, "qwen3", "m")),
            "model_parameters": choose((None, {}, {"temperature": 0.5, "top_k": 3})),
            "usage_details": choose((None, {"input": 1, "output": 2})),
            "cost_details": choose((None, {"total": 0.5})),
            "prompt": choose((None, Prompt(2, False), Prompt(3, True))),
        }
        return {key: value for key, value in fields.items() if self.random.random() < 0.5}

    def step(self, depth: int) -> None:
        kind = self.random.randrange(9)
        if kind == 0:
            as_type = self.random.choice(TYPES)
            own = self.generation_fields() if as_type in ("generation", "embedding") else {}
            self.open.append(
                self.client.start_observation(name=self.name(), as_type=as_type, **self.fields(), **own)
            )
        elif kind == 1 and self.open:
            self.random.choice(self.open).update(**self.fields(), **self.generation_fields())
        elif kind == 2 and self.open:
            self.open.pop(self.random.randrange(len(self.open))).end()
        elif kind == 3 and self.open:
            child = self.random.choice(self.open).start_observation(
                name=self.name(), as_type=self.random.choice(TYPES), **self.fields()
            )
            self.open.append(child)
        elif kind == 4:
            self.client.create_event(name=self.name(), **self.fields())
        elif kind == 5:
            self.client.update_current_span(**self.fields())
        elif kind == 6 and depth < 4:
            with self.package.propagate_attributes(**self.propagated()):
                self.steps(depth + 1)
        elif depth < 4:
            try:
                with self.client.start_as_current_observation(
                    name=self.name(), as_type=self.random.choice(TYPES), **self.fields()
                ):
                    self.steps(depth + 1)
                    if self.random.random() < 0.2:
                        raise ValueError("broke")
            except ValueError:
                pass

    def propagated(self) -> dict[str, Any]:
        choose = self.random.choice
        fields = {
            "user_id": choose(("u1", "u2")),
            "session_id": choose(("s1", "s2")),
            "metadata": choose(({"a": "1"}, {"a": "2", "b": "x"})),
            "tags": choose((["a"], ["b", "c"], ["a", "c"])),
            "version": choose(("1", "2")),
            "trace_name": choose(("n1", "n2")),
        }
        return {key: value for key, value in fields.items() if self.random.random() < 0.5}

    def steps(self, depth: int) -> None:
        for _ in range(self.random.randrange(1, 8)):
            self.step(depth)

    def run(self) -> None:
        for _ in range(15):
            self.step(0)
        for observation in self.open:
            observation.end()


def walk(seed: int) -> None:
    @program(f"random walk {seed}")
    def run(client: Any, package: Any, report: Any) -> None:
        Walk(client, package, seed).run()


for seed in range(1, 13):
    walk(seed)
