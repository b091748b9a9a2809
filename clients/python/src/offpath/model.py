"""Langfuse's prompt classes under the name of its module."""

from ._prompts.prompt import (
    BasePromptClient,
    ChatMessageDict,
    ChatMessageWithPlaceholdersDict,
    ChatMessageWithPlaceholdersDict_Message,
    ChatMessageWithPlaceholdersDict_Placeholder,
    ChatPromptClient,
    PromptClient,
    TextPromptClient,
)

__all__ = [
    "BasePromptClient",
    "ChatMessageDict",
    "ChatMessageWithPlaceholdersDict",
    "ChatMessageWithPlaceholdersDict_Message",
    "ChatMessageWithPlaceholdersDict_Placeholder",
    "ChatPromptClient",
    "PromptClient",
    "TextPromptClient",
]
