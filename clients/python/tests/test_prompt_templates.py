from __future__ import annotations

import copy
import importlib.util
import pickle
import unittest
from typing import Any

from offpath import model
from offpath._prompts.prompt import parse_prompt, prompt_json
from offpath.model import ChatPromptClient, TextPromptClient


def text(prompt: str, **more: Any) -> TextPromptClient:
    return TextPromptClient({"name": "n", "version": 1, "prompt": prompt, **more})


def chat(*messages: Any, **more: Any) -> ChatPromptClient:
    return ChatPromptClient({"name": "n", "version": 1, "type": "chat", "prompt": messages, **more})


class Texts(unittest.TestCase):
    def test_variables_are_filled_in(self) -> None:
        prompt = text("{{a}} {{ b }} {{\tc\n}} {{a}} {{d}} {e} {{ f g }}")
        self.assertEqual(prompt.variables, ["a", "b", "c", "a", "d", "f g"])
        self.assertEqual(prompt.compile(a=1, b=None, c="{{a}}", **{"f g": "x"}), "1  {{a}} 1 {{d}} {e} x")
        self.assertEqual(prompt.compile(), prompt.prompt)

    def test_braces_that_are_no_variable(self) -> None:
        for template in ("{{a", "a}}", "{ {a} }", "}}{{", ""):
            self.assertEqual(text(template).compile(a="x"), template)
            self.assertEqual(text(template).variables, [])
        self.assertEqual(text("{{}}").compile(**{"": "x"}), "x")

    def test_langchain_has_single_braces(self) -> None:
        prompt = text('{{a}} {{ b }} {"json": {"deep": {{c}} } } {d} {\n \'q\': 1}')
        self.assertEqual(
            prompt.get_langchain_prompt(b="B"),
            '{a} B {{"json": {{"deep": {c} }} }} {d} {{\n \'q\': 1}}',
        )


class Chats(unittest.TestCase):
    def test_messages_and_placeholders(self) -> None:
        prompt = chat(
            {"role": "system", "content": "Be {{manner}}", "type": "chatmessage"},
            {"type": "placeholder", "name": "history"},
            {"role": "user", "content": "{{question}}"},
        )
        self.assertEqual(prompt.variables, ["manner", "question"])
        self.assertEqual(
            prompt.compile(
                manner="kind",
                question="why",
                history=[
                    {"role": "user", "content": "be {{manner}}", "name": "bob"},
                    {"role": "assistant", "content": None, "tool_calls": [{"id": "{{manner}}"}]},
                    {"role": "user", "content": [{"type": "text", "text": "{{manner}}"}]},
                ],
            ),
            [
                {"role": "system", "content": "Be kind"},
                {"role": "user", "content": "be kind", "name": "bob"},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "{{manner}}"}]},
                {"role": "user", "content": [{"type": "text", "text": "{{manner}}"}]},
                {"role": "user", "content": "why"},
            ],
        )

    def test_placeholders_that_are_not_given_stay(self) -> None:
        prompt = chat({"type": "placeholder", "name": "history"}, {"role": "user", "content": "x"})
        with self.assertLogs("offpath", "WARNING") as logged:
            messages = prompt.compile()
        self.assertIn("history", logged.output[0])
        self.assertEqual(
            messages, [{"type": "placeholder", "name": "history"}, {"role": "user", "content": "x"}]
        )
        # What is done to the answer is not done to the prompt.
        messages[0]["name"] = "other"
        self.assertEqual(prompt.prompt[0], {"type": "placeholder", "name": "history"})

    def test_placeholders_that_are_given_no_messages(self) -> None:
        prompt = chat({"type": "placeholder", "name": "history"})
        for given, expected in (
            ("text", [{"role": "NOT_GIVEN", "content": "text"}]),
            (None, [{"role": "NOT_GIVEN", "content": "None"}]),
            (["a", "b"], [{"role": "NOT_GIVEN", "content": "['a', 'b']"}] * 2),
        ):
            with self.assertLogs("offpath", "WARNING"):
                self.assertEqual(prompt.compile(history=given), expected)
        self.assertEqual(prompt.compile(history=[{}]), [{"role": "NOT_GIVEN", "content": ""}])
        self.assertEqual(prompt.compile(history=[]), [])

    def test_langchain_has_pairs(self) -> None:
        prompt = chat(
            {"role": "system", "content": '{{a}} {"b": {{c}}}'},
            {"type": "placeholder", "name": "history"},
        )
        self.assertEqual(
            prompt.get_langchain_prompt(a="A", history=[{"role": "user", "content": "{{c}}"}]),
            [("system", 'A {{"b": {c}}}'), ("user", "{c}")],
        )

    @unittest.skipIf(importlib.util.find_spec("langchain_core"), "needs langchain_core to be absent")
    def test_langchain_is_named_where_it_is_needed(self) -> None:
        prompt = chat({"type": "placeholder", "name": "history"})
        with (
            self.assertLogs("offpath", "WARNING"),
            self.assertRaisesRegex(ImportError, "langchain_core.*'history'"),
        ):
            prompt.get_langchain_prompt()


class Prompts(unittest.TestCase):
    def test_equality(self) -> None:
        self.assertEqual(text("a"), text("a", labels=["x"], tags=["y"]))
        self.assertNotEqual(text("a"), text("b"))
        self.assertNotEqual(text("a"), text("a", version=2))
        self.assertNotEqual(text("a"), text("a", config={"x": 1}))
        self.assertEqual(chat({"role": "a", "content": "b"}), chat({"role": "a", "content": "b"}))
        self.assertNotEqual(chat({"role": "a", "content": "b"}), chat({"role": "a", "content": "c"}))
        self.assertNotEqual(text("a"), chat())

    def test_json_there_and_back(self) -> None:
        for prompt in (
            text("a {{b}} \ud800", config=[1], labels=["l"], tags=["t"], commitMessage="m"),
            chat({"role": "a", "content": "b"}, {"type": "placeholder", "name": "p"}),
        ):
            for again in (
                parse_prompt(prompt_json(prompt)),
                copy.deepcopy(prompt),
                pickle.loads(pickle.dumps(prompt)),
            ):
                self.assertEqual(again, prompt)
                self.assertEqual(prompt_json(again), prompt_json(prompt))

    def test_what_is_no_prompt(self) -> None:
        good = {"name": "n", "version": 1, "prompt": "p"}
        self.assertEqual(parse_prompt(good).config, {})
        for bad in (
            None,
            [],
            "p",
            {},
            {**good, "name": None},
            {**good, "version": "1"},
            {**good, "version": True},
            {**good, "prompt": []},
            {**good, "type": "chat"},
            {**good, "type": "chat", "prompt": {"role": "a"}},
            {**good, "type": "chat", "prompt": [{"role": "a"}]},
            {**good, "type": "chat", "prompt": [{"type": "placeholder"}]},
        ):
            with self.subTest(bad), self.assertRaises(ValueError):
                parse_prompt(bad)

    def test_the_module_has_what_it_lists(self) -> None:
        self.assertEqual([name for name in model.__all__ if not hasattr(model, name)], [])


if __name__ == "__main__":
    unittest.main()
