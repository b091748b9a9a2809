"""The client's methods for prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from .._prompts.cache import PromptCache
from .._prompts.prompt import (
    ChatMessageDict,
    ChatMessageWithPlaceholdersDict,
    ChatPromptClient,
    PromptClient,
    TextPromptClient,
    fallback_prompt,
)
from .._prompts.server import PromptKey, PromptServer

_DEFAULT_LABEL = "production"
_DEFAULT_RETRIES = 2
_MAX_RETRIES = 4


class PromptMethods:
    """What Langfuse's client does with prompts. It needs no tracing, and works where that is switched off."""

    _prompt_server: PromptServer
    _prompt_cache: PromptCache
    #: Seconds.
    _prompt_ttl: float

    @overload
    def get_prompt(
        self,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        type: Literal["chat"],
        cache_ttl_seconds: float | None = None,
        fallback: Sequence[ChatMessageDict | ChatMessageWithPlaceholdersDict] | None = None,
        max_retries: int | None = None,
        fetch_timeout_seconds: float | None = None,
    ) -> ChatPromptClient: ...
    @overload
    def get_prompt(
        self,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        type: Literal["text"] = "text",
        cache_ttl_seconds: float | None = None,
        fallback: str | None = None,
        max_retries: int | None = None,
        fetch_timeout_seconds: float | None = None,
    ) -> TextPromptClient: ...

    def get_prompt(
        self,
        name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        type: Literal["chat", "text"] = "text",
        cache_ttl_seconds: float | None = None,
        fallback: Any = None,
        max_retries: int | None = None,
        fetch_timeout_seconds: float | None = None,
    ) -> PromptClient:
        """The prompt with that version or label ("production" where neither is given).

        Only the first call for a prompt in a process waits for the server: `fetch_timeout_seconds` (5, or
        `LANGFUSE_TIMEOUT`) a try, with up to `max_retries` more (2; at most 4). Later ones return what is in memory, and when
        that is older than `cache_ttl_seconds` (60, or `LANGFUSE_PROMPT_CACHE_DEFAULT_TTL_SECONDS`) a new one is fetched
        behind. 0 asks the server at each call.

        When the server does not answer, the first call returns the copy on disk that an earlier process left, with a
        warning; without one `fallback`. When the server says that there is none, or refuses the keys, `fallback`.

        Raises PromptError when there is none of these, ValueError for arguments that can't be meant.
        """
        if not name:
            raise ValueError("a prompt's name can't be empty")
        if version is not None and label is not None:
            raise ValueError("a prompt has a version or a label: give one of them")
        if type not in ("text", "chat"):
            raise ValueError(f'a prompt is "text" or "chat", not {type!r}')
        if fetch_timeout_seconds is not None and fetch_timeout_seconds <= 0:
            raise ValueError(f"fetch_timeout_seconds must be more than 0, not {fetch_timeout_seconds}")
        key = PromptKey(name, version, None if version is not None else label or _DEFAULT_LABEL)
        stand_in = fallback_prompt(type, name, version, label, fallback) if fallback else None
        retries = _DEFAULT_RETRIES if max_retries is None else min(max(max_retries, 0), _MAX_RETRIES)
        server = self._prompt_server

        def fetch(again: int) -> PromptClient:
            return server.fetch(key, fetch_timeout_seconds, again)

        if cache_ttl_seconds == 0:
            return self._prompt_cache.get_uncached(key, fetch, retries, stand_in)
        ttl = self._prompt_ttl if cache_ttl_seconds is None else cache_ttl_seconds
        return self._prompt_cache.get(key, fetch, ttl, retries, stand_in)

    @overload
    def create_prompt(
        self,
        *,
        name: str,
        prompt: Sequence[ChatMessageDict | ChatMessageWithPlaceholdersDict],
        labels: Sequence[str] = (),
        tags: Sequence[str] | None = None,
        type: Literal["chat"],
        config: Any = None,
        commit_message: str | None = None,
    ) -> ChatPromptClient: ...
    @overload
    def create_prompt(
        self,
        *,
        name: str,
        prompt: str,
        labels: Sequence[str] = (),
        tags: Sequence[str] | None = None,
        type: Literal["text"] | None = "text",
        config: Any = None,
        commit_message: str | None = None,
    ) -> TextPromptClient: ...

    def create_prompt(
        self,
        *,
        name: str,
        prompt: Any,
        labels: Sequence[str] = (),
        tags: Sequence[str] | None = None,
        type: Literal["chat", "text"] | None = "text",
        config: Any = None,
        commit_message: str | None = None,
    ) -> PromptClient:
        """Makes a prompt, or a new version of one; with the label "production" it is what `get_prompt` returns.

        Blocks for one HTTP request. Raises PromptError when the server does not take it, ValueError for a prompt that is
        not of its type.
        """
        if not name:
            raise ValueError("a prompt's name can't be empty")
        if type == "chat" and not isinstance(prompt, (list, tuple)):
            raise ValueError("the prompt of a chat prompt must be a list of messages")
        if type != "chat" and not isinstance(prompt, str):
            raise ValueError("the prompt of a text prompt must be a string")
        body = {
            "type": type or "text",
            "name": name,
            "prompt": prompt,
            "labels": list(labels),
            "config": config or {},
        }
        if tags is not None:
            body["tags"] = list(tags)
        if commit_message is not None:
            body["commitMessage"] = commit_message
        created = self._prompt_server.create(body)
        self._prompt_cache.forget(name)
        return created

    def update_prompt(self, *, name: str, version: int, new_labels: Sequence[str] = ()) -> PromptClient:
        """Gives labels to a version; a label that another version has moves. Blocks for one HTTP request.

        Raises PromptError.
        """
        if not name:
            raise ValueError("a prompt's name can't be empty")
        updated = self._prompt_server.set_labels(name, version, new_labels)
        self._prompt_cache.forget(name)
        return updated

    def clear_prompt_cache(self) -> None:
        """Forgets all prompts of the project, in memory and on disk: the next calls ask the server."""
        self._prompt_cache.forget()
