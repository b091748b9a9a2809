"""Values of other libraries, and the same as Langfuse's own serializer writes them."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pydantic
import pydantic.v1
from langfuse._utils.serializer import EventSerializer

from tests.support import SpoolTest


class Address(pydantic.BaseModel):
    city: str
    since: datetime.date


class User(pydantic.BaseModel):
    name: str = pydantic.Field(alias="userName")
    address: Address
    password: pydantic.SecretStr
    scores: list[float] = []


class OldUser(pydantic.v1.BaseModel):
    name: str
    tags: set[str] = set()


class Refusing(pydantic.BaseModel):
    x: int

    @pydantic.field_serializer("x")
    def refuse(self, value: int) -> int:
        raise ValueError("not today")


@attrs.define
class Point:
    x: int
    y: Any = None


@attrs.frozen
class Frozen:
    points: list[Point]


USER = User(
    userName="Lan",
    address=Address(city="Huế", since=datetime.date(2020, 2, 1)),
    password=pydantic.SecretStr("hunter2"),
)


class Values(SpoolTest):
    def test_pydantic_2(self) -> None:
        expected = {
            "name": "Lan",
            "address": {"city": "Huế", "since": "2020-02-01"},
            "password": "<secret>",
            "scores": [],
        }
        self.assertEqual(self.recorded(USER), expected)
        self.assertEqual(self.recorded([USER, {"user": USER}]), [expected, {"user": expected}])
        self.assertNotIn(b"hunter2", self.bytes_of_spool())

    def test_pydantic_1(self) -> None:
        self.assertEqual(self.recorded(OldUser(name="Lan", tags={"a"})), {"name": "Lan", "tags": ["a"]})

    def test_a_model_that_cannot_be_dumped_is_told(self) -> None:
        value = self.recorded({"bad": Refusing(x=1), "good": 2})
        assert isinstance(value, dict)
        self.assertRegex(value["bad"], "^<unreadable: .*not today")
        self.assertEqual(value["good"], 2)

    def test_model_classes_are_named(self) -> None:
        self.assertEqual(self.recorded([User, Point]), ["<ModelMetaclass>", "<type>"])

    def test_numpy_scalars_and_arrays(self) -> None:
        value = {
            "int": np.int64(2**40),
            "float": np.float32(0.5),
            "nan": np.float64(math.nan),
            "bool": np.bool_(True),
            "text": np.str_("x"),
            "array": np.arange(6).reshape(2, 3),
            "empty": np.array([]),
        }
        expected = {
            "int": 2**40,
            "float": 0.5,
            "nan": "NaN",
            "bool": True,
            "text": "x",
            "array": [[0, 1, 2], [3, 4, 5]],
            "empty": [],
        }
        self.assertEqual(self.recorded(value), expected)

    def test_a_large_array_is_cut_before_it_becomes_python_objects(self) -> None:
        value = self.recorded(np.zeros((1000, 1000), dtype=np.float32))
        assert isinstance(value, dict)
        self.assertEqual((value["shape"], value["dtype"]), ([1000, 1000], "float32"))
        self.assertEqual(value["first"], [0.0] * 1000)

    def test_numpy_keys_and_times(self) -> None:
        day = np.datetime64("2026-01-02T03:04:05")
        self.assertEqual(self.recorded({np.int64(1): "a"}), {"1": "a"})
        self.assertRegex(str(self.recorded(day)), "^2026-01-02T03:04:05")

    def test_attrs(self) -> None:
        value = Frozen([Point(1, "a"), Point(2)])
        expected = {"points": [{"x": 1, "y": "a"}, {"x": 2, "y": None}]}
        self.assertEqual(self.recorded(value), expected)

    def test_as_langfuse_writes_them(self) -> None:
        for value in (
            USER.address,
            np.float64(0.25),
            np.arange(4),
            {"deep": [np.int32(3), {"model": USER.address}]},
        ):
            self.assertEqual(self.recorded(value), json.loads(EventSerializer().encode(value)))

    def bytes_of_spool(self) -> bytes:
        return b"".join(path.read_bytes() for path in Path(self.memory).iterdir())
