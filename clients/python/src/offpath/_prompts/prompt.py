"""Prompts as applications see them: Langfuse's classes, their names and what they compile to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from .._config import logger

_VARIABLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_WORD_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_BRACES = re.compile(r"\{\{|\}\}|[{}]")
_QUOTE = re.compile(r"\s*[\"']")
_NO_ROLE = "NOT_GIVEN"


class ChatMessageDict(TypedDict):
    role: str
    content: str


class ChatMessageWithPlaceholdersDict_Message(TypedDict):
    type: Literal["message"]
    role: str
    content: str


class ChatMessageWithPlaceholdersDict_Placeholder(TypedDict):
    type: Literal["placeholder"]
    name: str


ChatMessageWithPlaceholdersDict: TypeAlias = (
    ChatMessageWithPlaceholdersDict_Message | ChatMessageWithPlaceholdersDict_Placeholder
)


class BasePromptClient:
    """What text and chat prompts share. `prompt`: the prompt as the API's JSON has it.

    Raises ValueError for what is no prompt.
    """

    name: str
    version: int
    config: Any
    labels: list[str]
    tags: list[str]
    commit_message: str | None
    #: It is the `fallback` of `get_prompt`; it links to nothing.
    is_fallback: bool

    def __init__(self, prompt: Mapping[str, Any], is_fallback: bool = False) -> None:
        name, version = prompt.get("name"), prompt.get("version")
        if not isinstance(name, str) or not isinstance(version, int) or isinstance(version, bool):
            raise ValueError("a prompt needs a name and a version")
        self.name = name
        self.version = version
        config = prompt.get("config")
        self.config = {} if config is None else config
        self.labels = _strings(prompt.get("labels"))
        self.tags = _strings(prompt.get("tags"))
        message = prompt.get("commitMessage")
        self.commit_message = message if isinstance(message, str) else None
        self.is_fallback = is_fallback

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} version {self.version}>"


class TextPromptClient(BasePromptClient):
    """A prompt that is one text."""

    prompt: str

    def __init__(self, prompt: Mapping[str, Any], is_fallback: bool = False) -> None:
        super().__init__(prompt, is_fallback)
        text = prompt.get("prompt")
        if not isinstance(text, str):
            raise ValueError("the prompt of a text prompt must be a string")
        self.prompt = text

    def compile(self, **variables: Any) -> str:
        """The text with each `{{name}}` that is given replaced; None becomes empty, and others stay as they are."""
        return _filled(self.prompt, variables)

    @property
    def variables(self) -> list[str]:
        """The names in `{{…}}`, in their order."""
        return _names(self.prompt)

    def get_langchain_prompt(self, **variables: Any) -> str:
        """The text as LangChain's PromptTemplate takes it: `{name}`, with the braces of JSON doubled."""
        return _for_langchain(_filled(self.prompt, variables))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextPromptClient) and _identity(self) == _identity(other)

    __hash__ = None  # type: ignore[assignment]


class ChatPromptClient(BasePromptClient):
    """A prompt that is a list of messages, and of placeholders for messages."""

    prompt: list[ChatMessageWithPlaceholdersDict]

    def __init__(self, prompt: Mapping[str, Any], is_fallback: bool = False) -> None:
        super().__init__(prompt, is_fallback)
        messages = prompt.get("prompt")
        if not isinstance(messages, Sequence) or isinstance(messages, str):
            raise ValueError("the prompt of a chat prompt must be a list of messages")
        self.prompt = [_message(message) for message in messages]

    def compile(self, **variables: Any) -> list[Any]:
        """The messages, `{"role", "content"}`, with variables filled in.

        A placeholder takes a list of messages under its name, whose variables are filled in too; one that is not given
        stays as it is, with a warning.
        """
        compiled: list[Any] = []
        missing: list[str] = []
        for message in self.prompt:
            if message["type"] == "message":
                content = _filled_content(message["content"], variables)
                compiled.append({"role": message["role"], "content": content})
            elif message["name"] in variables:
                compiled += _placed(message["name"], variables)
            else:
                compiled.append({**message})
                missing.append(message["name"])
        if missing:
            logger.warning(
                "prompt %r: the placeholders %s are not given to compile(); they are left in the messages",
                self.name,
                missing,
            )
        return compiled

    @property
    def variables(self) -> list[str]:
        """The names in `{{…}}` of all messages, in their order; without placeholders."""
        return [
            name
            for message in self.prompt
            if message["type"] == "message"
            for name in _names(message["content"])
        ]

    def get_langchain_prompt(self, **variables: Any) -> list[Any]:
        """`(role, content)` pairs as LangChain's ChatPromptTemplate takes them.

        Placeholders that are not given become LangChain's MessagesPlaceholder; raises ImportError without `langchain_core`.
        """
        messages: list[Any] = []
        for message in self.compile(**variables):
            if "role" not in message:
                messages.append(_langchain_placeholder(message["name"]))
            else:
                content = message["content"]
                messages.append(
                    (message["role"], _for_langchain(content) if isinstance(content, str) else content)
                )
        return messages

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChatPromptClient) and _identity(self) == _identity(other)

    __hash__ = None  # type: ignore[assignment]


PromptClient: TypeAlias = TextPromptClient | ChatPromptClient


def parse_prompt(data: Any) -> PromptClient:
    """From the API's JSON. Raises ValueError for what is no prompt."""
    if not isinstance(data, Mapping):
        raise ValueError("a prompt must be an object")
    return ChatPromptClient(data) if data.get("type") == "chat" else TextPromptClient(data)


def prompt_json(prompt: PromptClient) -> dict[str, Any]:
    """What `parse_prompt` makes an equal prompt of."""
    return {
        "type": "chat" if isinstance(prompt, ChatPromptClient) else "text",
        "name": prompt.name,
        "version": prompt.version,
        "prompt": prompt.prompt,
        "config": prompt.config,
        "labels": prompt.labels,
        "tags": prompt.tags,
        "commitMessage": prompt.commit_message,
    }


def fallback_prompt(
    kind: Literal["text", "chat"], name: str, version: int | None, label: str | None, prompt: Any
) -> PromptClient:
    """What stands in while there is no other. Raises ValueError when it is not of its kind."""
    data = {
        "name": name,
        "version": version or 0,
        "labels": [label] if label else [],
        "prompt": prompt,
    }
    return ChatPromptClient(data, True) if kind == "chat" else TextPromptClient(data, True)


def _identity(prompt: PromptClient) -> tuple[Any, ...]:
    return prompt.name, prompt.version, prompt.prompt, prompt.config


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, Sequence) else []


def _message(message: Any) -> ChatMessageWithPlaceholdersDict:
    if isinstance(message, Mapping):
        if message.get("type") == "placeholder" and isinstance(message.get("name"), str):
            return {"type": "placeholder", "name": message["name"]}
        if "role" in message and "content" in message:
            return {"type": "message", "role": message["role"], "content": message["content"]}
    raise ValueError("a chat message needs role and content, a placeholder type and name")


def _filled(text: str, variables: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name not in variables:
            return match[0]
        given = variables[name]
        return "" if given is None else str(given)

    return _VARIABLE.sub(value, text) if variables else text


def _filled_content(content: Any, variables: Mapping[str, Any]) -> Any:
    """What is no text (the parts of a message with images, None beside tool calls) stays as it is."""
    return _filled(content, variables) if isinstance(content, str) else content


def _names(text: Any) -> list[str]:
    return [name.strip() for name in _VARIABLE.findall(text)] if isinstance(text, str) else []


def _placed(name: str, variables: Mapping[str, Any]) -> list[Any]:
    """The messages that a placeholder is given. What is none becomes one as text, with a warning, as with Langfuse."""
    messages = variables[name]
    if not isinstance(messages, list):
        logger.warning("placeholder %r takes a list of messages, not %s", name, type(messages).__name__)
        return [{"role": _NO_ROLE, "content": str(messages)}]
    placed: list[Any] = []
    for message in messages:
        if isinstance(message, dict):
            content = _filled_content(message.get("content", ""), variables)
            placed.append({**message, "role": message.get("role", _NO_ROLE), "content": content})
        else:
            logger.warning("placeholder %r takes messages with role and content", name)
            placed.append({"role": _NO_ROLE, "content": str(messages)})
    return placed


def _for_langchain(text: str) -> str:
    return _WORD_VARIABLE.sub(r"{\1}", _json_escaped(text))


def _json_escaped(text: str) -> str:
    """Doubles the braces of JSON: one is followed by a quote. Those that are double stay."""
    doubled: list[bool] = []

    def brace(match: re.Match[str]) -> str:
        found = match[0]
        if found == "{":
            doubled.append(_QUOTE.match(text, match.end()) is not None)
            return "{{" if doubled[-1] else "{"
        if found == "}":
            return "}}" if doubled and doubled.pop() else "}"
        return found

    return _BRACES.sub(brace, text)


def _langchain_placeholder(name: str) -> Any:
    try:
        from langchain_core.prompts.chat import (  # type: ignore[import-not-found,unused-ignore]
            MessagesPlaceholder,
        )
    except ImportError as error:
        raise ImportError(
            f"get_langchain_prompt() needs langchain_core for the placeholder {name!r}, which is not given"
        ) from error
    return MessagesPlaceholder(variable_name=name)
