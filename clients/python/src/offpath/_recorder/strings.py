"""Long strings: written once beside a record's text, then referred to by number.

They are known by identity: comparing what they hold would cost what the copy does. What is remembered is kept alive,
so only the last few megabytes are.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import Any, TypeAlias

from .._spool.format import ENCODING_UTF8, ENCODING_UTF16

# Its first use imports it; in a child that was forked while another thread did so, that would wait for ever.
codecs.lookup("utf-16-le")

_PART_HEAD = Struct("<II")

#: From here a string leaves beside the text; below, escaping it is cheaper than a part.
LARGE_CHARS = 512
#: A part's length has 24 bits, and a character up to four bytes: longer ones leave as blobs.
MAX_PART_CHARS = 2 * 1024 * 1024
#: Of each of the two generations of strings that are remembered.
_MAX_CHARS = 2 * 1024 * 1024
_MAX_STRINGS = 512


#: A long string and its number in the segments of this process.
Part: TypeAlias = "tuple[str, int]"


class Message:
    """A message of a conversation that was recorded before, and its text: agents repeat their history at each step. It is known
    by identity and by what it holds, for a message may be changed."""

    __slots__ = ("chars", "content", "generation", "nodes", "numbers", "strings", "text", "value")

    def __init__(
        self,
        value: dict[Any, Any],
        content: dict[Any, Any],
        text: str,
        parts: list[Part],
        chars: int,
        nodes: int,
        generation: int,
    ) -> None:
        self.value = value
        #: A copy.
        self.content = content
        self.text = text
        #: Two tuples, for what is kept is to be few objects: see RecentStrings.
        self.strings, self.numbers = _unzip(parts)
        self.chars = chars
        self.nodes = nodes
        self.generation = generation


class Conversation:
    """Messages at the beginning of a list that were recorded before, all in one text. Their contents are compared in one call,
    which takes a tenth of looking each of them up."""

    __slots__ = ("chars", "contents", "generation", "key", "nodes", "numbers", "strings", "text")

    def __init__(self, key: Any, generation: int) -> None:
        #: The second message, for the first may be the same in all conversations.
        self.key = key
        self.generation = generation
        self.contents: list[Any] = []
        self.text = ""
        self.strings: tuple[str, ...] = ()
        self.numbers: tuple[int, ...] = ()
        self.chars = 0
        self.nodes = 0

    def with_messages(self, messages: list[Message]) -> Conversation:
        """A new one, with more messages behind it."""
        more = Conversation(self.key, self.generation)
        texts = [message.text for message in messages]
        more.contents = self.contents + [message.content for message in messages]
        more.text = ",".join([self.text, *texts] if self.contents else texts)
        more.strings = sum((message.strings for message in messages), self.strings)
        more.numbers = sum((message.numbers for message in messages), self.numbers)
        more.chars = self.chars + sum(message.chars for message in messages)
        # Each is also an item of the list.
        more.nodes = self.nodes + sum(message.nodes + 1 for message in messages)
        return more


class RecentStrings:
    """A new string is known to others only after `remember`, which comes when its record is on its way: who refers to it is
    behind it.

    A segment knows the strings that it has; with the next one all is forgotten. Kept are the strings themselves and
    numbers, in dicts: Python's garbage collector counts objects that can hold others, and with one more for each string its
    full collections, which hold the GIL for as long as they look at all that the process has, come more often.
    """

    __slots__ = ("_chars", "_known", "conversations", "messages", "next_blob", "next_number")

    def __init__(self) -> None:
        #: Numbers that were never given before; safe to call from several threads.
        self.next_number: Callable[[], int] = count(1).__next__
        self.next_blob: Callable[[], int] = count(1).__next__
        self._forget(_Known(0, {}, {}))

    def _forget(self, known: _Known) -> None:
        #: Replaced as a whole, and looked at once by each call: other threads record meanwhile.
        self._known = known
        #: By identity; see `keep`.
        self.messages: dict[int, Message] = {}
        self.conversations: dict[int, Conversation] = {}
        self._chars = 0

    def find(self, text: str, generation: int) -> int:
        """The number of the very same object in the segment of a generation; 0: it is not known."""
        known = self._known
        if generation != known.generation:
            return 0
        identity = id(text)
        if known.strings.get(identity) is text:
            return known.numbers[identity]
        if known.old_strings.get(identity) is text:
            return known.old_numbers[identity]
        return 0

    def keep(self, message: Message) -> None:
        """A message whose strings are known; `remember` comes with its record."""
        self.messages[id(message.value)] = message
        self._chars += len(message.text)

    def keep_conversation(self, conversation: Conversation) -> None:
        shorter = self.conversations.get(id(conversation.key))
        self.conversations[id(conversation.key)] = conversation
        self._chars += len(conversation.text) - (len(shorter.text) if shorter is not None else 0)

    def remember(self, parts: list[Part], used: list[Part], generation: int) -> None:
        """Notes what a record brought and referred to, which the segment of that generation has."""
        known = self._known
        if generation != known.generation:
            if generation < known.generation:
                return
            known = _Known(generation, {}, {})
            self._forget(known)
        strings, numbers = known.strings, known.numbers
        for text, number in parts:
            # The number first: another thread looks for the string.
            numbers[id(text)] = number
            strings[id(text)] = text
            self._chars += len(text)
        for text, number in used:
            if strings.get(id(text)) is not text:
                numbers[id(text)] = number
                strings[id(text)] = text
                self._chars += len(text)
        if self._chars > _MAX_CHARS or len(strings) > _MAX_STRINGS or len(self.messages) > _MAX_STRINGS:
            self._forget(_Known(generation, strings, numbers))


class _Known:
    """What the segment of a generation has: strings and their numbers, both by the string's identity; the young ones begin
    empty."""

    __slots__ = ("generation", "numbers", "old_numbers", "old_strings", "strings")

    def __init__(self, generation: int, old_strings: dict[int, str], old_numbers: dict[int, int]) -> None:
        self.generation = generation
        self.strings: dict[int, str] = {}
        self.numbers: dict[int, int] = {}
        self.old_strings = old_strings
        self.old_numbers = old_numbers


def _unzip(parts: list[Part]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    return tuple([text for text, _ in parts]), tuple([number for _, number in parts])


def encode_text(text: str) -> tuple[bytes, int]:
    """The cheapest exact form: ASCII as it lies in memory, all other text as UTF-16, whose lone surrogates are allowed."""
    if text.isascii():
        return text.encode(), ENCODING_UTF8
    return text.encode("utf-16-le", "surrogatepass"), ENCODING_UTF16


def encode_part(part: Part) -> tuple[bytes, bytes, bytes]:
    """Encoding, length and number; the bytes; zeros up to a multiple of 4."""
    text, number = part
    data, encoding = encode_text(text)
    length = len(data)
    return _PART_HEAD.pack(encoding | length << 8, number), data, b"\0" * (-length & 3)
