"""The prompts that were had last, for a process that starts while Langfuse is down.

One file for each prompt, in a private directory: who can write there says what the model is told.

    <server and public key>-<name>-<version or label>.json      each part a hash; what it stands for is in the file
    {"format": 1, "server", "public_key", "name", "version", "label", "fetched_at": seconds since 1970, "prompt": {…}}

Secret keys are in neither. A file that is not what its name says, or somebody else's, is ignored with a warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable
from typing import Any

from .._spool.tiers import private_directory
from .prompt import PromptClient, parse_prompt, prompt_json
from .server import PromptKey

CACHE = "OFFPATH_PROMPT_CACHE"
_FORMAT = 1
_MAX_FILE_BYTES = 16 * 1024 * 1024
#: A prompt in use is written anew at each refresh; what nobody asked for so long goes.
_KEPT_S = 90 * 24 * 3600
_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)


class DiskCache:
    """The files of one project at one server. Its methods raise nothing: it says once what is wrong, through `warn`."""

    def __init__(
        self, directory: str, server: str, public_key: str | None, warn: Callable[[str, str], None]
    ) -> None:
        self._directory = directory
        self._server = server
        self._public_key = public_key
        self._scope = _hash(f"{server}\n{public_key}", 16)
        self._warn = warn
        self._is_swept = False

    def read(self, key: PromptKey) -> tuple[PromptClient, float] | None:
        """The prompt and when it was fetched, in seconds since 1970; None when there is none to rely on."""
        path = self._path(key)
        try:
            if not os.path.lexists(path):
                return None
            private_directory(self._directory, "prompt", 0o022)
            data = json.loads(_read_own_file(path))
            if not isinstance(data, dict) or {**data, **self._identity(key)} != data:
                raise ValueError("it is not of this prompt")
            fetched_at = data.get("fetched_at")
            if not isinstance(fetched_at, (int, float)):
                raise ValueError("it has no time")
            prompt = parse_prompt(data.get("prompt"))
            if prompt.name != key.name or key.version not in (None, prompt.version):
                raise ValueError("it has another prompt")
            return prompt, float(fetched_at)
        except (OSError, ValueError, RecursionError) as error:
            self._warn(f"the copy of {key} on disk, {path}, is ignored: {error}", CACHE)
            return None

    def write(self, key: PromptKey, prompt: PromptClient) -> None:
        path = self._path(key)
        data = {**self._identity(key), "fetched_at": round(time.time(), 3), "prompt": prompt_json(prompt)}
        try:
            private_directory(self._directory, "prompt", 0o022)
            # Not synced: what a power failure cuts is ignored, and fetched again.
            fd, temporary = tempfile.mkstemp(".tmp", f"{os.path.basename(path)}.", self._directory)
            try:
                with os.fdopen(fd, "w", encoding="ascii") as file:
                    json.dump(data, file)
                os.replace(temporary, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            if not self._is_swept:
                self._is_swept = True
                self._sweep()
        except (OSError, ValueError, TypeError, RecursionError) as error:
            self._warn(
                f"prompts cannot be kept in {self._directory} ({error}): without a copy there, a process that starts while "
                "Langfuse is down has no prompts; OFFPATH_PROMPT_DIR names another directory",
                CACHE,
            )

    def remove(self, name: str | None = None) -> None:
        """All versions and labels of a name, or all of the project."""
        prefix = f"{self._scope}-" if name is None else f"{self._scope}-{_hash(name, 32)}-"
        self._unlink(lambda entry: entry.name.startswith(prefix))

    def remove_one(self, key: PromptKey) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path(key))

    def _sweep(self) -> None:
        oldest = time.time() - _KEPT_S
        self._unlink(
            lambda entry: ".json" in entry.name and entry.stat(follow_symlinks=False).st_mtime < oldest
        )

    def _unlink(self, is_meant: Callable[[os.DirEntry[str]], bool]) -> None:
        with contextlib.suppress(OSError), os.scandir(self._directory) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if is_meant(entry):
                        os.unlink(entry.path)

    def _path(self, key: PromptKey) -> str:
        which = f"l{_hash(key.label or '', 16)}" if key.version is None else f"v{key.version}"
        return os.path.join(self._directory, f"{self._scope}-{_hash(key.name, 32)}-{which}.json")

    def _identity(self, key: PromptKey) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "server": self._server,
            "public_key": _hash(self._public_key or "", 32),
            "name": key.name,
            "version": key.version,
            "label": key.label,
        }


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def _read_own_file(path: str) -> bytes:
    """Raises OSError for what others could have written, ValueError for what is too large."""
    fd = os.open(path, _FLAGS)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no file")
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            raise OSError("it is, or can be written by, somebody else's")
        if status.st_size > _MAX_FILE_BYTES:
            raise ValueError(f"it has more than {_MAX_FILE_BYTES} bytes")
        return file.read(_MAX_FILE_BYTES)
