from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any

import pydantic

from .program import START, program


@dataclasses.dataclass
class Point:
    x: int
    y: float
    label: str = "a"


@dataclasses.dataclass
class Line:
    points: list[Point]
    by_name: dict[str, Point]


class Model(pydantic.BaseModel):
    name: str
    when: datetime.datetime
    nested: list[Point]
    ratio: float = float("nan")
    by_alias: int = pydantic.Field(default=1, alias="byAlias")


class Secretive(pydantic.BaseModel):
    key: pydantic.SecretStr


class Color(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    TWO = 2


class Word(str, enum.Enum):
    YES = "yes"


class Plain:
    def __init__(self) -> None:
        self.a = 1
        self.b = [Point(1, 2.5)]


class Slotted:
    __slots__ = ("a", "missing")

    def __init__(self) -> None:
        self.a = 1


class Text(str):
    pass


class Unprintable:
    __slots__ = ()

    def __repr__(self) -> str:
        raise ValueError("no")


class Raises:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise ValueError("no")


Pair = namedtuple("Pair", "left right")


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = {"in": value}
    return value


def cycle() -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    value["self"] = value
    return value


def object_cycle() -> Plain:
    value = Plain()
    value.b = value  # type: ignore[assignment]
    return value


VALUES: dict[str, Any] = {
    "text": "plain",
    "empty text": "",
    "text that is JSON": '{"a": 1}',
    "quotes and controls": 'a"b\\c\n\t\x00\x1f\x7f',
    "Vietnamese": "Tiếng Việt: nghiêng",
    "emoji": "😀 family 👨‍👩‍👧",
    "line separators": "a\u2028b\u2029c",
    "noncharacters": "a\ufffeb\uffffc",
    "integer": 42,
    "negative": -7,
    "zero": 0,
    "large safe integer": 2**53 - 1,
    "unsafe integer": 2**53 + 1,
    "huge integer": 10**40,
    "float": 0.1,
    "whole float": 1.0,
    "large float": 1e300,
    "small float": 5e-324,
    "negative zero": -0.0,
    "nan": float("nan"),
    "infinities": [float("inf"), float("-inf")],
    "true": True,
    "false": False,
    "list": [1, "a", None, [2, [3]]],
    "tuple": (1, (2, 3)),
    "named tuple": Pair("l", 2),
    "object": {"a": {"b": {"c": [1, {"d": None}]}}},
    "empty list": [],
    "empty object": {},
    "keys of all kinds": {2: "int", 1.5: "float", True: "bool", None: "none", "s": "str"},
    "keys that are enums": {Word.YES: 1},
    "set of one": {"one"},
    "frozen set": frozenset([1]),
    "ordered and default": {"o": OrderedDict(a=1), "d": defaultdict(int, b=2)},
    "deque": deque([1, 2]),
    "range": range(3),
    "date and time": START,
    "date in another zone": START.astimezone(datetime.timezone(datetime.timedelta(hours=7))),
    "naive date and time": datetime.datetime(2024, 1, 2, 3, 4, 5),
    "date": datetime.date(2024, 1, 2),
    "uuid": uuid.UUID(int=1),
    "path": pathlib.PurePosixPath("/a/b"),
    "real path": pathlib.Path("/a/b"),
    "enum": Color.RED,
    "enums inside": [Color.RED, Number.TWO, Word.YES],
    "integer enum": Number.TWO,
    "text enum": Word.YES,
    "text subclass": Text("sub"),
    "bytes of text": b"text \xe1\xba\xbf",
    "bytes inside": {"b": b"inner"},
    "dataclass": Point(1, 2.5),
    "dataclasses inside": Line([Point(1, 2.0)], {"p": Point(3, 4.0)}),
    "pydantic": Model(name="n", when=START, nested=[Point(1, 2.5)], byAlias=5),
    "pydantic with a secret": Secretive(key="hidden"),
    "secret alone": pydantic.SecretStr("hidden"),
    "plain object": Plain(),
    "slotted object": Slotted(),
    "error": ValueError("broke"),
    "errors inside": {"e": KeyError("k")},
    "keyboard interrupt": KeyboardInterrupt(),
    "unprintable": Unprintable(),
    "nested 19 deep": nested(17),
    "long text": "0123456789" * 2_000,
    "long text in Vietnamese": "Tiếng Việt " * 2_000,
    "long texts inside": {"a": "x" * 9_000, "b": ["y" * 9_000, "x" * 9_000]},
    "looks like a reference": {"$offpath:string": 1},
    "looks like two references": {"$offpath:blob": 1, "other": 2},
    "looks like a wrapped object": {"$offpath:object": {"$offpath:string": 3}},
    "time": datetime.time(1, 2, 3),
    "memory view": memoryview(b"abc"),
    "bytearray": bytearray(b"abc"),
    "time delta": datetime.timedelta(seconds=90),
    "decimal": decimal.Decimal("1.50"),
    "complex": 1 + 2j,
    "function": nested,
    "class": Point,
    "generator": (n for n in [1, 2]),
    "queue": asyncio.Queue,
    "object()": object(),
    "bytes that are no text": b"\xff\xfe",
    "nested 30 deep": nested(30),
    "cycle": cycle(),
    "cycle of objects": object_cycle(),
    "raising attribute": Raises(),
    "lone surrogate": "a\ud800b",
    "lone surrogate inside": {"t": "a\ud800b"},
}


@program("values as input and output")
def as_input(client: Any, package: Any, report: Any) -> None:
    for name, value in VALUES.items():
        client.start_observation(name=name, input=value).update(output={"value": value}).end()


@program("values in metadata")
def as_metadata(client: Any, package: Any, report: Any) -> None:
    for name, value in VALUES.items():
        if name != "generator":
            client.start_observation(name=name, metadata={"value": value, "list": [value]}).end()


@program("metadata that is no object")
def odd_metadata(client: Any, package: Any, report: Any) -> None:
    for name in ("text", "integer", "list", "true", "float", "date and time"):
        client.start_observation(name=name, metadata=VALUES[name]).end()
    client.start_observation(name="pydantic", metadata=VALUES["pydantic"]).end()
    client.start_observation(name="dataclass", metadata=Point(1, 2.5)).end()
    client.start_observation(name="keys", metadata={1: "one", "a.b": 2, "": 3, "Tiếng Việt": 4}).end()


@program("values in model parameters, usage and cost")
def as_generation_fields(client: Any, package: Any, report: Any) -> None:
    client.start_observation(
        name="odd",
        as_type="generation",
        model_parameters={
            "date": START,
            "nan": float("nan"),
            "none": None,
            "enum": Color.RED,
            "deep": {"a": [1]},
        },
        usage_details={"input": 2**60, "nothing": 0},
        cost_details={"input": decimal.Decimal("0.5"), "whole": 1},
        completion_start_time=START,
    ).end()


@program("names")
def names(client: Any, package: Any, report: Any) -> None:
    for name in ('with "quotes" and \\ and \n', "Tiếng Việt 😀", "x" * 5_000, ""):
        client.start_observation(name=name, input=1).end()


@program("values that change after the call")
def changed_later(client: Any, package: Any, report: Any) -> None:
    messages = [{"role": "user", "content": "first"}]
    generation = client.start_observation(name="captured", as_type="generation", input=messages)
    messages.append({"role": "assistant", "content": "second"})
    generation.update(output=messages)
    messages.clear()
    generation.end()


@program("the same long texts again and again")
def repeated(client: Any, package: Any, report: Any) -> None:
    history: list[dict[str, str]] = []
    for step in range(12):
        history.append({"role": "tool", "content": f"{step} " + "lorem ipsum " * 700})
        client.start_observation(name=f"step {step}", as_type="generation", input=history).end()
