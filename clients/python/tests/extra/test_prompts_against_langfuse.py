"""Prompts beside those of the real Langfuse SDK: the same templates and values, and the same server."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import logging
import random
import unittest
from typing import Any

from offpath.model import ChatPromptClient, TextPromptClient
from tests.langfuse_server import PUBLIC_KEY, SECRET_KEY
from tests.prompt_support import PromptTest

try:
    from langfuse import Langfuse
    from langfuse import model as theirs
    from langfuse.api import Prompt_Chat, Prompt_Text

    _VERSION = importlib.metadata.version("langfuse")
except ImportError:
    _VERSION = "0"

_HAS_LANGCHAIN = importlib.util.find_spec("langchain_core") is not None
_ROUNDS = 3_000
_PIECES = (
    "{{", "}}", "{", "}", "{{a}}", "{{ b }}", "{{ä}}", "{{a b}}", "{{\n}}", '{"', "{'", ' {\n "x": 1}', "a", " ", "\n", "\u00a0", "\u2028", '"', "'", "ü", "😀",
)  # fmt: skip
_VALUES = ("", "x", "{{a}}", "}}", None, 0, 1.5, True, ["y", 1], {"k": "v"}, '{"json": 1}')
_MESSAGES = (
    {"role": "user", "content": "{{a}} and {{ b }}"},
    {"role": "assistant", "content": '{"x": {{a}}}', "tool_calls": [{"id": "{{a}}"}]},
    {"role": "user"},
    {"content": "{{a}}"},
    {},
    {"type": "message", "role": "user", "content": "c"},
)


@unittest.skipUnless(_VERSION.startswith("5."), "needs langfuse 5")
class AgainstLangfuse(PromptTest):
    def setUp(self) -> None:
        super().setUp()
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        self.random = random.Random(5)

    def text(self) -> str:
        return "".join(self.random.choices(_PIECES, k=self.random.randrange(12)))

    def values(self) -> dict[str, Any]:
        names = ("a", "b", "ä", "a b", "", "{a", "x")
        return {
            name: self.random.choice(_VALUES) for name in self.random.sample(names, self.random.randrange(5))
        }

    def test_texts(self) -> None:
        compiled = 0
        for _ in range(_ROUNDS):
            data = {"name": "n", "version": 1, "prompt": self.text(), "config": {}, "labels": [], "tags": []}
            values = self.values()
            ours, others = TextPromptClient(data), theirs.TextPromptClient(Prompt_Text(**data))
            with self.subTest(data["prompt"], values=values):
                self.assertEqual(ours.variables, others.variables)
                self.assertEqual(ours.compile(**values), others.compile(**values))
                self.assertEqual(ours.get_langchain_prompt(**values), others.get_langchain_prompt(**values))
                compiled += ours.compile(**values) != data["prompt"]
        self.assertGreater(compiled, _ROUNDS // 10)

    def test_chats(self) -> None:
        placed = 0
        for _ in range(_ROUNDS):
            messages: list[dict[str, Any]] = []
            for _ in range(self.random.randrange(4)):
                kind = self.random.choice(("message", "typed", "placeholder"))
                if kind == "placeholder":
                    messages.append({"type": "placeholder", "name": self.random.choice(("p", "q"))})
                else:
                    message = {"role": self.random.choice(("system", "user")), "content": self.text()}
                    messages.append({**message, "type": "chatmessage"} if kind == "typed" else message)
            values = self.values()
            for name in ("p", "q"):
                if self.random.random() < 0.7:
                    given: Any = self.random.choices((*_MESSAGES, "text", 3), k=self.random.randrange(4))
                    values[name] = self.random.choice((given, given, "text", None))
            data = {
                "type": "chat",
                "name": "n",
                "version": 1,
                "prompt": messages,
                "config": {},
                "labels": [],
                "tags": [],
            }
            ours, others = ChatPromptClient(data), theirs.ChatPromptClient(Prompt_Chat(**data))
            with self.subTest(messages, values=values):
                self.assertEqual(ours.prompt, others.prompt)
                self.assertEqual(ours.variables, others.variables)
                self.assertEqual(ours.compile(**values), others.compile(**values))
                if _HAS_LANGCHAIN or all(message.get("type") != "placeholder" for message in messages):
                    pairs = ours.get_langchain_prompt(**values)
                    self.assertEqual(pairs, others.get_langchain_prompt(**values))
                placed += any(message.get("type") == "placeholder" for message in messages)
        self.assertGreater(placed, _ROUNDS // 10)

    def test_the_same_server(self) -> None:
        ours = self.client()
        others = Langfuse(
            public_key=PUBLIC_KEY, secret_key=SECRET_KEY, base_url=self.server.url, tracing_enabled=False
        )
        self.addCleanup(others.shutdown)
        attributes = [
            "name",
            "version",
            "prompt",
            "config",
            "labels",
            "tags",
            "commit_message",
            "is_fallback",
            "variables",
        ]

        def compare(one: Any, other: Any) -> None:
            self.assertEqual(type(one).__name__, type(other).__name__)
            for attribute in attributes:
                self.assertEqual(getattr(one, attribute), getattr(other, attribute), attribute)

        # Each makes the same prompts under names of its own, and reads what the other made.
        chat = [{"role": "user", "content": "{{a}}"}, {"type": "placeholder", "name": "p"}]
        for client, folder in ((ours, "ours"), (others, "theirs")):
            made = dict(labels=["production"], tags=["t"], config={"x": 1}, commit_message="m")
            client.create_prompt(name=f"{folder}/text ü", prompt="{{a}} b", **made)
            client.create_prompt(name=f"{folder}/chat", prompt=chat, type="chat", **made)
            client.create_prompt(name=f"{folder}/chat", prompt=chat, type="chat")
            client.update_prompt(name=f"{folder}/chat", version=2, new_labels=["staging"])
        sent = [(method, path, body) for method, path, _, body in self.server.requests]
        for one, other in zip(sent[:4], sent[4:], strict=True):
            self.assertEqual(one[0], other[0])
            self.assertEqual(one[1].replace("ours", "theirs"), other[1])
            body = {name: value for name, value in other[2].items() if value is not None}
            self.assertEqual({**one[2], "name": None, "type": None}, {**body, "name": None, "type": None})
        for folder, (name, how) in itertools.product(
            ("ours", "theirs"),
            (
                ("text ü", {}),
                ("text ü", {"label": "latest"}),
                ("chat", {"type": "chat"}),
                ("chat", {"type": "chat", "version": 2}),
                ("chat", {"type": "chat", "label": "staging"}),
                ("none", {"fallback": "f {{a}}"}),
                ("none", {"fallback": chat, "type": "chat", "label": "x"}),
                ("none", {"fallback": "f", "version": 7}),
            ),
        ):
            with self.subTest(name, **how):
                arguments: Any = {"name": f"{folder}/{name}", "max_retries": 0, **how}
                compare(ours.get_prompt(**arguments), others.get_prompt(**arguments))


if __name__ == "__main__":
    unittest.main()
