"""Text that is written word by word, and cut so that no two pieces are the same string."""

from __future__ import annotations

import random

_TEXT = """the of and to in is that for it as with was on are by this be from or have an they which one were all their
has would what will there if can more when who so about up out them time only some could these two may then do first any
customer order invoice contract delivery warehouse shipment refund warranty account payment balance interest schedule
meeting report summary question answer model context latency server request response queue retry timeout version
feature budget forecast quarter region office manager engineer analyst supplier partner agreement liability"""
_CHARS = 1024 * 1024


class Prose:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        words = self.random.choices(_TEXT.split(), k=_CHARS // 4)
        self._text = " ".join(words)

    def text(self, length: int) -> str:
        """So many characters."""
        at = self.random.randrange(len(self._text) - length)
        return self._text[at : at + length]

    def about(self, length: int) -> str:
        """Give or take a fifth."""
        return self.text(round(length * (0.8 + 0.4 * self.random.random())))

    def messages(self, length: int) -> list[dict[str, str]]:
        """A conversation of so many characters: a long one of the system, and some turns."""
        parts = [length // 2, *[length // 12] * 6]
        roles = ["system", *["user", "assistant"] * 3]
        return [{"role": role, "content": self.text(part)} for role, part in zip(roles, parts, strict=True)]
