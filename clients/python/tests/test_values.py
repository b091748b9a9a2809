from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import json
import math
import os
import random
import unittest
import uuid
from pathlib import Path
from typing import Any

from offpath._api.client import reset, session

from .support import SpoolTest


class Color(enum.Enum):
    RED = "red"


class Name(str):
    pass


@dataclasses.dataclass
class Point:
    x: int
    y: Any


class Plain:
    def __init__(self) -> None:
        self.a = 1
        self.b = [self]


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self) -> None:
        self.x = 1


class BadRepr:
    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class Values(SpoolTest):
    def test_the_types_of_json(self) -> None:
        value = {
            "a": [1, -2.5, True, False, None, "x", {}],
            "ế": "Việt",
            "": [[], ()],
            "nested": {"k": {"k": 1}},
        }
        self.assertEqual(self.recorded(value), {**value, "": [[], []]})

    def test_numbers_that_json_has_not(self) -> None:
        self.assertEqual(
            self.recorded([math.nan, math.inf, -math.inf, 2**53, -(2**60), 10**400, 2**53 - 1]),
            ["NaN", "Infinity", "-Infinity", str(2**53), str(-(2**60)), str(10**400), 2**53 - 1],
        )
        self.assertEqual(
            self.recorded(10**5000),
            f"0x{10**5000:x}" if hasattr(__import__("sys"), "get_int_max_str_digits") else str(10**5000),
        )

    def test_the_standard_library(self) -> None:
        moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc)
        self.assertEqual(
            self.recorded(
                [
                    moment,
                    datetime.date(2026, 1, 2),
                    uuid.UUID(int=5),
                    Path("/a/b"),
                    Color.RED,
                    Name("n"),
                    {1},
                    frozenset("a"),
                    range(3),
                    ValueError("bad"),
                    b"text",
                    b"\xff\xfe",
                    bytearray(b"x"),
                    Point(1, Point(2, None)),
                    Slotted(),
                    int,
                ]
            ),
            [
                "2026-01-02T03:04:05.000006Z",
                "2026-01-02",
                "00000000-0000-0000-0000-000000000005",
                str(Path("/a/b")),
                "red",
                "n",
                [1],
                ["a"],
                [0, 1, 2],
                "ValueError: bad",
                "text",
                b"\xff\xfe",
                "x",
                {"x": 1, "y": {"x": 2, "y": None}},
                {"x": 1, "y": None},
                "<type>",
            ],
        )

    def test_cycles_depth_and_size_are_cut_visibly(self) -> None:
        loop: list[Any] = [1]
        loop.append(loop)
        self.assertEqual(self.recorded(loop), [1, "[Circular]"])
        self.assertEqual(self.recorded(Plain()), {"a": 1, "b": ["[Circular]"]})
        deep: Any = "bottom"
        for _ in range(100):
            deep = [deep]
        text = str(self.recorded(deep))
        self.assertIn("[truncated: deeper than 64]", text)
        deepest: Any = 0
        for _ in range(100_000):
            deepest = {"k": deepest}
        self.assertIn("truncated", str(self.recorded(deepest)))
        while isinstance(deepest, dict):
            deepest = deepest.pop("k")
        many = self.recorded(list(range(30_000)))
        assert isinstance(many, list)
        self.assertEqual(many[:20_000], list(range(20_000)))
        self.assertEqual(many[20_000:], ["[truncated: the first 20000 of 30000 items]"])
        fields = self.recorded({str(i): i for i in range(30_000)})
        assert isinstance(fields, dict)
        self.assertEqual(fields["…"], "[truncated: the first 20000 of 30000 fields]")

    def test_long_text_is_cut(self) -> None:
        import os

        from offpath._api.client import reset

        os.environ["OFFPATH_MAX_VALUE_BYTES"] = "1000"
        reset()
        self.assertEqual(
            self.recorded(["x" * 900, "y" * 900, b"\xff" * 900]),
            ["x" * 900, f"{'y' * 100}…[truncated: 100 of 900 characters]", "[truncated: 900 bytes]"],
        )

    def test_what_fails_when_it_is_read(self) -> None:
        class Bad:
            @property
            def __dict__(self) -> Any:  # type: ignore[override]
                raise RuntimeError("no")

        class Growing(dict):  # type: ignore[type-arg]
            def items(self) -> Any:
                yield "a", 1
                raise RuntimeError("changed while read")

        self.assertIn("RuntimeError", str(self.recorded([Bad()])))
        self.assertIn("changed while read", str(self.recorded(Growing(a=1))))
        self.assertEqual(self.recorded([BadRepr()]), [{}])

    def test_keys(self) -> None:
        self.assertEqual(
            self.recorded({1: "a", 2.5: "b", None: "d", Color.RED: "e", (1, 2): "f"}),
            {"1": "a", "2.5": "b", "null": "d", "red": "e", "(1, 2)": "f"},
        )
        self.assertEqual(self.recorded({True: 1, False: 0}), {"true": 1, "false": 0})

    def test_text_of_every_kind(self) -> None:
        texts = [
            "\ud800",
            "a\udfffb",
            '\x00\x1f"\\/\u2028',
            "😀" * 10,
            "é" * 600,
            "Việt" * 300,
            "\udc00" * 700,
            "😀" * 700,
        ]
        self.assertEqual(self.recorded(texts), texts)
        self.assertEqual(
            self.recorded({text: text for text in texts[:5]}), {text: text for text in texts[:5]}
        )

    def test_objects_that_look_like_markers(self) -> None:
        for value in (
            {"$offpath:string": 1},
            {"$offpath:blob": {"$offpath:object": 2}},
            [{"$offpath:object": {"a": 1}}],
            {"$offpath:string": 1, "b": 2},
        ):
            self.assertEqual(self.recorded(value), value)

    def test_very_long_text_and_bytes_leave_as_blobs(self) -> None:
        text = "Một câu dài 😀 " * 400_000
        data = random.Random(1).randbytes(3_000_000)
        self.assertEqual(self.recorded({"text": text, "data": data}), {"text": text, "data": data})

    def test_a_long_string_is_written_once(self) -> None:
        client = self.client()
        context = "c" * 50_000
        history: list[Any] = [{"role": "system", "content": context}]
        for step in range(20):
            history.append({"role": "user", "content": f"{step}" * 2_000})
            client.start_observation(name=f"step {step}", input=history).end()
        spool = self.spool()
        once = sum(len(message["content"]) for message in history)
        self.assertLess(spool.part_bytes, once * 1.1)
        self.assertEqual(spool.named("step 19")["input"], history)

    def test_a_message_that_comes_again_and_one_that_was_changed(self) -> None:
        client = self.client()
        history: list[Any] = []
        expected: list[Any] = []
        for step in range(12):
            history.append({"role": "tool", "content": f"{step} " * 1_000})
            if step == 6:
                history[2]["content"] = "short now"
                history[3]["cost"] = 5
                history[4] = {"$offpath:string": "x" * 600}
            client.start_observation(name=str(step), input=history).end()
            expected.append(copy.deepcopy(history))
        spool = self.spool()
        for step in range(12):
            self.assertEqual(spool.named(str(step))["input"], expected[step])

    def test_a_long_conversation_that_is_changed_anywhere(self) -> None:
        """With calls of tools and short messages; copied, cut, changed at the front, deep inside and to what does not compare."""
        client = self.client()
        history: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "why?"}]
        expected: list[Any] = []
        for step in range(60):
            if step == 30:
                history[4]["tool_calls"][0]["function"]["arguments"] = {"n": [1, True, 2.0]}
            elif step == 35:
                history[0]["content"] = "Be " * 300
            elif step == 40:
                history = history[:30]
            elif step == 45:
                del history[7]["content"]
            elif step == 50:
                history[12]["tool_calls"] = [{"$offpath:string": 1}]
            client.start_observation(name=str(step), input=history).end()
            expected.append(copy.deepcopy(history))
            function = {"name": "search", "arguments": f'{{"q":"{step}"}}'}
            call = {"id": f"call {step}", "type": "function", "function": function}
            answer = {"role": "assistant", "content": None, "tool_calls": [call]}
            history = [*history, answer, {"role": "tool", "content": f"{step} " * 400}]
        recorder = session._recorder
        assert recorder is not None
        self.assertEqual(len(recorder._recent.conversations), 1)
        spool = self.spool()
        for step in range(60):
            self.assertEqual(spool.named(str(step))["input"], expected[step])

    def test_a_conversation_of_an_earlier_segment_is_carried(self) -> None:
        client = self.client()
        history = [{"role": "user", "content": f"{i} " * 400} for i in range(20)]
        for i in range(300):
            client.start_observation(name=str(i), input=[*history, {"content": f"{i} " * 3_000}]).end()
        spool = self.spool()
        self.assertGreater(len(spool.headers), 1)
        for i in range(300):
            self.assertEqual(spool.named(str(i))["input"], [*history, {"content": f"{i} " * 3_000}])

    def test_a_long_conversation_within_limits(self) -> None:
        for limit in range(1, 120, 7):
            os.environ["OFFPATH_MAX_NODES"] = str(limit)
            reset()
            client = self.client()
            history = [{"role": "user", "content": f"{limit} {i} " * 200} for i in range(20)]
            for i in range(6):
                client.start_observation(name=f"{limit} {i}", input=history).end()
            spool = self.spool()
            first = spool.named(f"{limit} 0")["input"]
            for i in range(6):
                self.assertEqual(spool.named(f"{limit} {i}")["input"], first)

    def test_a_score_has_its_messages_whole(self) -> None:
        client = self.client()
        history = [{"role": "user", "content": f"{i} " * 400} for i in range(20)]
        for _ in range(5):
            client.start_observation(name="step", input=history).end()
        client.create_score(name="good", value=1, trace_id="0" * 31 + "1", metadata={"messages": history})
        (name,) = os.listdir(self.memory)
        with open(os.path.join(self.memory, name), "rb") as file:
            _, mark, behind = file.read().partition(b'{"record":"score"')
        # As it stands there: a reader resolves nothing in a score.
        score, _ = json.JSONDecoder().raw_decode((mark + behind).decode("utf-8", "replace"))
        self.assertEqual(score["metadata"], {"messages": history})

    def test_messages_of_an_earlier_segment_are_carried(self) -> None:
        client = self.client()
        message = {"role": "system", "content": "s" * 10_000}
        for i in range(400):
            client.start_observation(name=str(i), input=[message, {"content": f"{i} " * 2_000}]).end()
        spool = self.spool()
        self.assertGreater(len(spool.headers), 1)
        for i in range(400):
            self.assertEqual(spool.named(str(i))["input"], [message, {"content": f"{i} " * 2_000}])

    def test_strings_of_an_earlier_segment_are_carried(self) -> None:
        client = self.client()
        shared = "s" * 10_000
        for i in range(400):
            client.start_observation(name=str(i), input=[shared, f"{i} " * 2_000]).end()
        spool = self.spool()
        self.assertGreater(len(spool.headers), 1)
        self.assertEqual(spool.named("399")["input"], [shared, "399 " * 2_000])
        self.assertEqual(
            [header["segment"] for header in spool.headers], list(range(1, len(spool.headers) + 1))
        )

    def test_a_collection_that_changes_while_it_is_read_leaves_a_record(self) -> None:
        class Shrinking(list[int]):
            def __iter__(self) -> Any:
                yield 1
                raise RuntimeError("mutated during iteration")

        class Missing(dict[str, int]):
            def items(self) -> Any:
                yield "a", 1
                raise KeyError("b")

        self.assertEqual(
            self.recorded({"list": Shrinking(), "dict": Missing(), "after": 1}),
            {
                "list": [1, "<unreadable: RuntimeError: mutated during iteration>"],
                "dict": {"a": 1, "…": "<unreadable: KeyError: 'b'>"},
                "after": 1,
            },
        )

    def test_messages_that_come_again_are_not_kept_for_ever(self) -> None:
        """Each request's own object around one long constant."""
        client = self.client()
        prompt = "You are helpful. " * 100
        for i in range(2000):
            client.start_observation(name=str(i), input=[{"role": "system", "content": prompt}]).end()
        recorder = session._recorder
        assert recorder is not None
        self.assertLess(len(recorder._recent.messages), 600)

    def test_a_message_that_was_cut_is_whole_where_there_is_room(self) -> None:
        os.environ["OFFPATH_MAX_NODES"] = "5"
        reset()
        client = self.client()
        long = "long " * 200
        message = {"content": long, "role": "user"}
        client.start_observation(name="brings it", input=long).end()
        client.start_observation(name="cut", input=[0, 1, 2, message]).end()
        client.start_observation(name="whole", input=[message]).end()
        cut = self.spool().named("cut")["input"][3]
        self.assertEqual(cut, {"content": long, "…": "[truncated: the first 1 of 2 fields]"})
        self.assertEqual(self.spool().named("whole")["input"], [message])

    def test_a_message_that_does_not_compare_is_read_anew(self) -> None:
        class Array:
            def __init__(self) -> None:
                self.items = [1, 2]

            def __eq__(self, other: object) -> bool:
                raise ValueError("the truth value of an array is ambiguous")

        client = self.client()
        long = "long " * 200
        message: dict[str, Any] = {"content": long, "more": "text"}
        for _ in range(3):
            client.start_observation(name="text", input=[message]).end()
        message["more"] = Array()
        client.start_observation(name="array", input=[message]).end()
        self.assertEqual(self.spool().named("array")["input"], [{"content": long, "more": {"items": [1, 2]}}])

    def test_random_values_come_back_as_they_were(self) -> None:
        source = random.Random(7)

        def make(depth: int) -> Any:
            kind = source.randrange(7 if depth < 4 else 5)
            if kind == 0:
                return source.choice([None, True, False])
            if kind == 1:
                return source.randint(-(2**53) + 1, 2**53 - 1)
            if kind == 2:
                return source.uniform(-1e9, 1e9)
            if kind == 3:
                return "".join(source.choice('aé Việt😀"\\\n\ud800') for _ in range(source.randrange(20)))
            if kind == 4:
                return source.choice("aé😀") * source.randrange(500, 3000)
            if kind == 5:
                return [make(depth + 1) for _ in range(source.randrange(5))]
            return {f"k{source.randrange(50)}": make(depth + 1) for _ in range(source.randrange(5))}

        client = self.client()
        values = [make(0) for _ in range(400)]
        for i, value in enumerate(values):
            client.start_observation(name=str(i), input={"v": value}).end()
        found = {each["name"]: each["input"] for each in self.spool().observations().values()}
        for i, value in enumerate(values):
            self.assertEqual(found[str(i)], {"v": value})


if __name__ == "__main__":
    unittest.main()
