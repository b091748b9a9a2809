"""Any Python value as JSON text, with long strings beside it.

A value is written as Langfuse's SDK would write it; what that drops or can't write is written visibly. Long strings
leave as raw parts of the frame (escaping costs ten times the copy), and one that was recorded before is referred to.
"""

from __future__ import annotations

import datetime
import enum
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from json.encoder import encode_basestring as escape
from pathlib import PurePath
from typing import Any
from uuid import UUID

from .strings import LARGE_CHARS, MAX_PART_CHARS, Conversation, Message, Part, RecentStrings, encode_text

_MAX_SAFE_INT = 2**53 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")
_INFINITY = math.inf
#: Keys of objects that the format gives a meaning.
_MARKERS = ("$offpath:string", "$offpath:blob", "$offpath:media", "$offpath:object")
_MAX_KEYS = 4096
_MAX_KEY_CHARS = 256
#: Of what a message holds: the calls of its tools are four levels.
_MESSAGE_DEPTH = 6
#: Messages that make it worth to remember a conversation, or to remember more of it.
_MANY = 4

#: Keys come again and again: `,"key":` by key.
_keys: dict[Any, str] = {}


class Limits:
    __slots__ = ("chars", "depth", "nodes")

    def __init__(self, chars: int = 32 * 1024 * 1024, depth: int = 64, nodes: int = 20_000) -> None:
        """Of one value: characters or bytes of all strings together, levels, items and fields."""
        self.chars = chars
        self.depth = depth
        self.nodes = nodes


def to_utf8(text: str) -> bytes:
    """JSON text as bytes. A lone surrogate, which UTF-8 can't hold, stands there as an escape."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", text).encode()


class Encoding:
    """The values of one record. Reading them runs code of the user's, which may record or raise."""

    __slots__ = (
        "_ancestors",
        "_chars",
        "_limits",
        "_nodes",
        "_out",
        "_recent",
        "blobs",
        "generation",
        "parts",
        "refs",
    )

    #: Whether objects may stand for long strings.
    _refers = True

    def __init__(self, recent: RecentStrings, generation: int, limits: Limits) -> None:
        self.generation = generation
        #: Strings that this record brings, and those that it refers to.
        self.parts: list[Part] = []
        self.refs: list[Part] = []
        #: Byte strings and texts that leave after the record: (blob id, bytes, encoding).
        self.blobs: list[tuple[int, bytes, int]] = []
        self._recent = recent
        self._limits = limits
        self._out: list[str] = []
        self._ancestors: list[int] = []
        self._nodes = 0
        self._chars = 0

    def value(self, value: Any) -> str:
        """JSON text of a value. Never raises."""
        self._nodes = self._limits.nodes
        self._chars = self._limits.chars
        self._out = []
        self._ancestors = []
        try:
            self._any(value, 0)
        except RecursionError:
            return escape(f"<not serializable object of type: {_type_name(value)}>")
        except Exception as error:
            return escape(_unreadable(error))
        return "".join(self._out)

    def _any(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind is str:
            self._text(value)
        elif kind is dict:
            self._mapping(value, value.items(), depth)
        elif kind is list or kind is tuple:
            self._sequence(value, value, depth)
        elif value is None:
            self._out.append("null")
        elif kind is int:
            self._out.append(int.__repr__(value) if -_MAX_SAFE_INT <= value <= _MAX_SAFE_INT else _big(value))
        elif kind is bool:
            self._out.append("true" if value else "false")
        elif kind is float:
            self._out.append(float.__repr__(value) if -_INFINITY < value < _INFINITY else _not_finite(value))
        else:
            self._unusual(value, depth)

    def _text(self, text: str) -> None:
        length = len(text)
        if length > self._chars:
            text = f"{text[: self._chars]}…[truncated: {self._chars} of {length} characters]"
            self._chars = 0
        else:
            self._chars -= length
        if length < LARGE_CHARS:
            self._out.append(escape(text))
        else:
            self._out.append(self.large(text))

    def large(self, text: str) -> str:
        """A reference to a long string, which leaves beside the text."""
        if len(text) > MAX_PART_CHARS:
            blob = self._recent.next_blob()
            self.blobs.append((blob, *encode_text(text)))
            return f'{{"$offpath:blob":{blob}}}'
        number = self._recent.find(text, self.generation)
        if number:
            self.refs.append((text, number))
        else:
            number = self._recent.next_number()
            self.parts.append((text, number))
        return f'{{"$offpath:string":{number}}}'

    def _bytes(self, data: bytes) -> None:
        if len(data) > self._chars:
            self._out.append(escape(f"[truncated: {len(data)} bytes]"))
            return
        self._chars -= len(data)
        blob = self._recent.next_blob()
        self.blobs.append((blob, data, 0))
        self._out.append(f'{{"$offpath:blob":{blob}}}')

    def _media(self, media: Media) -> None:
        data = media.data
        if len(data) > self._chars:
            self._out.append(escape(f"[truncated: {len(data)} bytes]"))
            return
        self._out.append(f'{{"$offpath:media":{{"content_type":{escape(media.content_type)},"data":')
        if isinstance(data, str):
            self._text(data)
        else:
            self._bytes(data)
        self._out.append(f',"source":{escape(media.source)}}}}}')

    def _enter(self, value: Any, depth: int) -> bool:
        """Whether the value's content is to be written: not when it contains itself or lies too deep."""
        identity = id(value)
        if identity in self._ancestors:
            self._out.append('"[Circular]"')
            return False
        if depth >= self._limits.depth:
            self._out.append(f'"[truncated: deeper than {self._limits.depth}]"')
            return False
        self._ancestors.append(identity)
        return True

    def _mapping(self, identity: Any, items: Any, depth: int) -> None:
        if not self._enter(identity, depth):
            return
        out = self._out
        known = _keys
        depth += 1
        marked = False
        count = 0
        start = len(out)
        out.append("{")
        try:
            for key, value in items:
                if self._nodes <= 0:
                    out.append(f',"…":"[truncated: the first {count} of {_length(identity)} fields]"')
                    break
                self._nodes -= 1
                text = known.get(key)
                if text is None:
                    name = _name(key)
                    text = _remember(name)
                    marked = marked or name in _MARKERS
                out.append(text)
                if type(value) is str and len(value) <= self._chars:
                    self._chars -= len(value)
                    out.append(escape(value) if len(value) < LARGE_CHARS else self.large(value))
                else:
                    self._any(value, depth)
                count += 1
        except (RecursionError, MemoryError):
            raise
        except Exception as error:
            # It was changed while it was read, or its code raised: between two fields, for a field's value never raises.
            out.append(f',"…":{escape(_unreadable(error))}')
        self._ancestors.pop()
        if len(out) > start + 1:
            # The first field has no comma before it.
            out[start + 1] = out[start + 1][1:]
        out.append("}")
        if marked and count == 1 and self._refers:
            out.insert(start, '{"$offpath:object":')
            out.append("}")

    def _message(self, value: dict[Any, Any], depth: int, keeps: bool = False) -> bool:
        """An object in a list. One that was recorded before, and holds the same, has its text already: then true.

        `keeps`: it is likely to come again, even if it has no long string that has come again.
        """
        known = self._recent.messages.get(id(value))
        if (
            known is not None
            and known.value is value
            and known.generation == self.generation
            and known.chars <= self._chars
            and known.nodes <= self._nodes
            and depth + _MESSAGE_DEPTH < self._limits.depth
            and _equal(known.content, value)
        ):
            self._out.append(known.text)
            self.refs += zip(known.strings, known.numbers, strict=True)
            self._chars -= known.chars
            self._nodes -= known.nodes
            return True
        out, start, new, old = self._out, len(self._out), len(self.parts), len(self.refs)
        blobs, chars, nodes = len(self.blobs), self._chars, self._nodes
        self._mapping(value, value.items(), depth)
        # Its long strings were known, so it is likely to come again; but what was cut here need not be cut then.
        if len(self.refs) == old and not keeps:
            return False
        if len(self.parts) > new or len(self.blobs) > blobs or self._chars <= 0 or self._nodes <= 0:
            return False
        try:
            content = _copy(value, _MESSAGE_DEPTH)
        except (TypeError, RuntimeError):
            return False
        self._recent.keep(
            Message(
                value,
                content,
                "".join(out[start:]),
                self.refs[old:],
                chars - self._chars,
                nodes - self._nodes,
                self.generation,
            )
        )
        return False

    def _sequence(self, identity: Any, values: Any, depth: int) -> None:
        if not self._enter(identity, depth):
            return
        out = self._out
        depth += 1
        count = again = 0
        out.append("[")
        try:
            known = (
                self._conversation(values, depth) if type(values) is list and len(values) >= _MANY else None
            )
            if known is not None:
                count = len(known.contents)
            for value in values[count:] if count else values:
                if count:
                    out.append(",")
                if self._nodes <= 0:
                    out.append(f'"[truncated: the first {count} of {_length(identity)} items]"')
                    break
                self._nodes -= 1
                if type(value) is not dict:
                    self._any(value, depth)
                elif self._message(value, depth):
                    again += 1
                count += 1
            if again >= _MANY and type(values) is list:
                self._keep_conversation(known, values, depth)
        except (RecursionError, MemoryError):
            raise
        except Exception as error:
            out.append(f"{',' if count else ''}{escape(_unreadable(error))}")
        out.append("]")
        self._ancestors.pop()

    def _conversation(self, values: list[Any], depth: int) -> Conversation | None:
        """Messages at the beginning of a list that were recorded before: what is known of them, and their text is written."""
        known = self._recent.conversations.get(id(values[1]))
        if (
            known is None
            or known.key is not values[1]
            or known.generation != self.generation
            or known.chars > self._chars
            or known.nodes > self._nodes
            or depth + _MESSAGE_DEPTH >= self._limits.depth
            or not _equal(known.contents, values[: len(known.contents)])
        ):
            return None
        self._out.append(known.text)
        self.refs += zip(known.strings, known.numbers, strict=True)
        self._chars -= known.chars
        self._nodes -= known.nodes
        return known

    def _keep_conversation(self, known: Conversation | None, values: list[Any], depth: int) -> None:
        """Many of a list's messages have come again: from now on those at its beginning are one text."""
        known = known or Conversation(values[1], self.generation)
        recent = self._recent
        messages = []
        for value in values[len(known.contents) :]:
            message = recent.messages.get(id(value))
            if message is None:
                # A short one, most likely.
                self._try_message(value, depth)
                message = recent.messages.get(id(value))
            if (
                message is None
                or message.value is not value
                or message.generation != self.generation
                or not _equal(message.content, value)
            ):
                break
            messages.append(message)
        if messages:
            recent.keep_conversation(known.with_messages(messages))

    def _try_message(self, value: Any, depth: int) -> None:
        """Reads a message for `keep` alone: nothing is written. One that can't be kept is not read, for that may run code."""
        if type(value) is not dict:
            return
        try:
            _copy(value, _MESSAGE_DEPTH)
        except (TypeError, RuntimeError):
            return
        lists: tuple[list[Any], ...] = (self._out, self.parts, self.refs, self.blobs)
        lengths = [len(each) for each in lists]
        chars, nodes = self._chars, self._nodes
        self._message(value, depth, True)
        for each, length in zip(lists, lengths, strict=True):
            del each[length:]
        self._chars, self._nodes = chars, nodes

    def _unusual(self, value: Any, depth: int) -> None:
        """What is no exact JSON type, in the order in which Langfuse's serializer asks."""
        try:
            plain = _stand_in(value)
        except RecursionError:
            raise
        except Exception as error:
            self._out.append(escape(_unreadable(error)))
            return
        if type(plain) is bytes:
            self._bytes(plain)
        elif type(plain) is Media:
            self._media(plain)
        elif isinstance(plain, _Items):
            self._sequence(value, plain.values, depth)
        elif isinstance(plain, _Fields):
            self._mapping(value, plain.items, depth)
        elif plain is value:
            self._out.append(escape(f"<{_type_name(value)}>"))
        elif type(plain) in _SCALARS:
            self._any(plain, depth)
        elif self._enter(value, depth):
            self._any(plain, depth + 1)
            self._ancestors.pop()


class PlainEncoding(Encoding):
    """All in the text itself: for records that are read by themselves."""

    __slots__ = ()
    _refers = False

    def large(self, text: str) -> str:
        return escape(text)

    def _message(self, value: dict[Any, Any], depth: int, keeps: bool = False) -> bool:
        self._mapping(value, value.items(), depth)
        return False

    def _conversation(self, values: list[Any], depth: int) -> None:
        pass

    def _bytes(self, data: bytes) -> None:
        self._out.append('"<not serializable bytes>"')

    def _media(self, media: Media) -> None:
        self._bytes(b"")


class _Items:
    __slots__ = ("values",)

    def __init__(self, values: Any) -> None:
        self.values = values


class _Fields:
    __slots__ = ("items",)

    def __init__(self, items: Any) -> None:
        self.items = items


class Media:
    """Content with its type. `data`: text is base64, which the relay decodes."""

    __slots__ = ("content_type", "data", "source")

    def __init__(self, content_type: str, data: bytes | str, source: str) -> None:
        self.content_type = content_type
        self.data = data
        self.source = source


_SCALARS = (str, int, float, bool, type(None))

#: What other modules make of their classes, by class; set by them when they are imported.
stand_ins: dict[type, Callable[[Any], Any]] = {}


def _stand_in(value: Any) -> Any:
    """What is written in the place of a value that is none of JSON's; itself when nothing is known of it."""
    if type(value) is Media:
        return value
    for kind, replace in stand_ins.items():
        if isinstance(value, kind):
            return replace(value)
    if isinstance(value, datetime.datetime):
        return iso_time(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (UUID, PurePath)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _text_or_bytes(bytes(value))
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return _Fields(value.items())
    if isinstance(value, (list, tuple, Set)):
        return _Items(value)
    return _object(value)


def _object(value: Any) -> Any:
    """Objects of libraries, known by what they offer: none of them is imported here."""
    kind = type(value)
    if isinstance(value, type):
        # Its methods are there, and want an instance.
        return f"<{_type_name(value)}>"
    if kind.__module__.partition(".")[0] == "numpy":
        # Scalars and arrays.
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.generic):
            return value.item()
        if numpy is not None and isinstance(value, numpy.ndarray):
            return _array(value)
    if kind.__name__ == "LangfuseMedia":
        # Offpath's or Langfuse's: known by its shape.
        content = getattr(value, "_content_bytes", None)
        if content is None:
            return None
        return Media(str(value._content_type), bytes(content), str(value._source))
    if kind.__name__ in ("SecretStr", "SecretBytes"):
        return "<secret>"
    if "Streaming" in kind.__name__:
        return str(value)
    if is_dataclass(value):
        return _Fields([(field.name, getattr(value, field.name, None)) for field in dataclass_fields(value)])
    dump = getattr(value, "model_dump", None)
    if callable(dump) and hasattr(kind, "model_fields"):
        return dump()
    if hasattr(kind, "__fields__") and callable(getattr(value, "dict", None)):
        # pydantic 1
        return value.dict()
    if hasattr(kind, "lc_secrets") and callable(getattr(value, "to_json", None)):
        return value.to_json()
    if isinstance(value, Sequence):
        return _Items(value)
    if hasattr(kind, "__attrs_attrs__"):
        return _Fields([(field.name, getattr(value, field.name, None)) for field in kind.__attrs_attrs__])
    if callable(value):
        return f"<{_type_name(value)}>"
    slots = getattr(kind, "__slots__", None)
    if slots is not None:
        names = (slots,) if isinstance(slots, str) else tuple(slots)
        return _Fields([(name, getattr(value, name, None)) for name in names if name != "__weakref__"])
    content = getattr(value, "__dict__", None)
    if isinstance(content, dict):
        return _Fields(list(content.items()))
    return value


def _array(value: Any) -> Any:
    # Of an array with millions of items not all become Python objects before they are cut.
    if value.size <= 20_000:
        return value.tolist()
    flat = value.reshape(-1)[:1000].tolist()
    return {"shape": list(value.shape), "dtype": str(value.dtype), "first": flat}


def _text_or_bytes(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _name(key: Any) -> str:
    """An object's key as JSON has it."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is True or key is False or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    if isinstance(key, (int, float)):
        return repr(key)
    if isinstance(key, enum.Enum):
        return _name(key.value)
    try:
        return str(key)
    except Exception as error:
        return _unreadable(error)


def _remember(name: str) -> str:
    text = f",{escape(name)}:"
    if len(_keys) < _MAX_KEYS and len(name) <= _MAX_KEY_CHARS and name not in _MARKERS:
        _keys[name] = text
    return text


def _big(value: int) -> str:
    """Node reads JSON's numbers as doubles: as text it arrives whole."""
    try:
        return f'"{value}"'
    except ValueError:
        # Python refuses to print more than 4 300 digits.
        return f'"0x{value:x}"'


def _not_finite(value: float) -> str:
    return '"NaN"' if value != value else '"Infinity"' if value > 0 else '"-Infinity"'


def _copy(value: Any, depth: int) -> Any:
    """Of what holds strings and nothing else, at most so deep: two of these that are equal have the same text. TypeError: it
    is something else."""
    kind = type(value)
    if kind is str or value is None:
        return value
    if depth == 0 or (kind is not dict and kind is not list):
        raise TypeError
    if kind is list:
        return [_copy(item, depth - 1) for item in value]
    if not all(type(key) is str for key in value):
        raise TypeError
    return {key: _copy(item, depth - 1) for key, item in value.items()}


def _equal(content: Any, value: Any) -> bool:
    try:
        return bool(content == value)
    except Exception:
        # It holds something else by now, such as an array, that does not compare with a string.
        return False


def _length(value: Any) -> Any:
    try:
        return len(value)
    except Exception:
        return "?"


def _type_name(value: Any) -> str:
    return type(value).__name__


def _unreadable(error: BaseException) -> str:
    try:
        return f"<unreadable: {type(error).__name__}: {error}>"
    except Exception:
        return f"<unreadable: {type(error).__name__}>"


def iso_time(value: datetime.datetime) -> str:
    """As Langfuse writes it: with its offset, `Z` for UTC; one without is local time."""
    if value.tzinfo is None:
        value = value.astimezone()
    text = value.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") and value.tzname() == "UTC" else text
