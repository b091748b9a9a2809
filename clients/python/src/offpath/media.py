"""Media beside text: images, audio, documents."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from ._config import logger

_SCHEME = "data:"
_REFERENCE = "@@@langfuseMedia:"
_END = "@@@"


class LangfuseMedia:
    """Content with its type: from a base64 data URI, from bytes, or from a file.

    As a value, or anywhere within one, it is recorded as an object of `contentType` and `content` (the bytes, not base64).
    Content that can't be read is an error in the log, and recorded as null.
    """

    def __init__(
        self,
        *,
        obj: object | None = None,
        base64_data_uri: str | None = None,
        content_type: str | None = None,
        content_bytes: bytes | None = None,
        file_path: str | None = None,
    ) -> None:
        """`obj` is kept and not looked at. `content_type`: a MIME type; a data URI brings its own."""
        self.obj = obj
        self._content_bytes: bytes | None = None
        self._content_type: str | None = None
        self._source: str | None = None
        try:
            if base64_data_uri is not None:
                self._content_type, self._content_bytes = _read_data_uri(base64_data_uri)
                self._source = "base64_data_uri"
            elif content_bytes is not None and content_type is not None:
                self._content_type, self._content_bytes = content_type, content_bytes
                self._source = "bytes"
            elif file_path is not None and content_type is not None:
                with open(file_path, "rb") as file:
                    self._content_bytes = file.read()
                self._content_type = content_type
                self._source = "file"
            else:
                raise ValueError(
                    "base64_data_uri, content_bytes and content_type, or file_path and content_type are needed"
                )
        except (OSError, ValueError) as error:
            logger.error("LangfuseMedia: %s", error)

    @property
    def _content_length(self) -> int | None:
        """Bytes."""
        return None if self._content_bytes is None else len(self._content_bytes)

    @property
    def _content_sha256_hash(self) -> str | None:
        """Base64."""
        if self._content_bytes is None:
            return None
        return base64.b64encode(hashlib.sha256(self._content_bytes).digest()).decode()

    @property
    def _media_id(self) -> str | None:
        """Langfuse's id of the content: the same for the same bytes."""
        digest = self._content_sha256_hash
        return None if digest is None else digest.translate(_URL_SAFE)[:22]

    @property
    def _reference_string(self) -> str | None:
        """What stands in a text for content that Langfuse has."""
        if self._content_bytes is None:
            return None
        return f"{_REFERENCE}type={self._content_type}|id={self._media_id}|source={self._source}{_END}"

    @staticmethod
    def parse_reference_string(reference_string: str) -> dict[str, str]:
        """`media_id`, `source` and `content_type` of a reference. Raises ValueError for what is none."""
        if not isinstance(reference_string, str) or not reference_string:
            raise ValueError("Reference string is empty or not a string")
        if not reference_string.startswith(f"{_REFERENCE}type="):
            raise ValueError(f"Reference string does not start with '{_REFERENCE}type='")
        if not reference_string.endswith(_END):
            raise ValueError(f"Reference string does not end with '{_END}'")
        content = reference_string[len(_REFERENCE) : -len(_END)]
        pairs = dict(pair.partition("=")[::2] for pair in content.split("|"))
        try:
            return {"media_id": pairs["id"], "source": pairs["source"], "content_type": pairs["type"]}
        except KeyError:
            raise ValueError("Missing required fields in reference string") from None

    @staticmethod
    def resolve_media_references(**arguments: Any) -> Any:
        """Done by an installed `langfuse`: it asks the server."""
        try:
            from langfuse.media import (  # type: ignore[import-not-found,unused-ignore]
                LangfuseMedia as Other,
            )
        except ImportError:
            raise NotImplementedError(
                "resolve_media_references is left to Langfuse's own SDK: pip install langfuse"
            ) from None
        return Other.resolve_media_references(**arguments)


_URL_SAFE = str.maketrans("+/", "-_")
_STANDARD = str.maketrans("-_", "+/")


def _read_data_uri(uri: str) -> tuple[str, bytes]:
    """Type and content of `data:image/png;base64,…`."""
    header, comma, data = uri.partition(",") if isinstance(uri, str) else ("", "", "")
    content_type, *parameters = header.removeprefix(_SCHEME).split(";")
    if not header.startswith(_SCHEME) or not content_type or "base64" not in parameters or not comma:
        raise ValueError("it is no base64 data URI")
    try:
        return content_type, base64.b64decode(data.translate(_STANDARD))
    except binascii.Error as error:
        raise ValueError(f"its data is no base64: {error}") from None
