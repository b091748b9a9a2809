"""Langfuse's prompt API over HTTP, by the standard library."""

from __future__ import annotations

import base64
import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from .._version import __version__
from .prompt import PromptClient, parse_prompt

NOT_FOUND = "OFFPATH_PROMPT_NOT_FOUND"
KEYS = "OFFPATH_PROMPT_KEYS"
REFUSED = "OFFPATH_PROMPT_REFUSED"
UNAVAILABLE = "OFFPATH_PROMPT_UNAVAILABLE"

_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_MESSAGE_CHARS = 300
_FIRST_DELAY_S = 0.25
_MAX_DELAY_S = 10.0
_RETRIED = frozenset((408, 425, 429))


class PromptError(RuntimeError):
    """A prompt that could not be had or written.

    `code`: one of docs/errors.md. `status_code`: the server's, None when it did not answer.
    """

    def __init__(self, message: str, code: str = UNAVAILABLE, status_code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status_code = status_code


class PromptKey(NamedTuple):
    """Which prompt is meant: a version or a label, not both."""

    name: str
    version: int | None
    label: str | None

    def __str__(self) -> str:
        which = f"label {self.label!r}" if self.version is None else f"version {self.version}"
        return f"prompt {self.name!r} ({which})"


class PromptServer:
    """One project at one server. `timeout`: seconds for a request where none is given with it.

    All methods raise PromptError, whose text names the prompt, the server and what to do, and never a secret key.
    """

    def __init__(
        self,
        base_url: str,
        public_key: str | None,
        secret_key: str | None,
        timeout: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.url = _without_credentials(base_url)
        self.public_key = public_key
        self._secret_key = secret_key
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._opener: OpenerDirector | None = None

    def fetch(self, key: PromptKey, timeout: float | None, retries: int) -> PromptClient:
        """One prompt. Broken connections, 408, 425, 429 and 5xx are tried again, `retries` times at most."""
        query = {"label": key.label} if key.version is None else {"version": key.version}
        path = f"/{quote(key.name, safe='')}?{urlencode(query)}"
        for attempt in range(retries + 1):
            try:
                return self._request("GET", path, None, str(key), timeout)
            except _Passing as error:
                if attempt == retries:
                    raise error.error from None
                delay = error.retry_after
                if delay is None:
                    delay = _FIRST_DELAY_S * 2**attempt * random.uniform(0.5, 1)
                time.sleep(min(delay, _MAX_DELAY_S))
        raise AssertionError("unreachable")

    def create(self, body: Mapping[str, Any]) -> PromptClient:
        """A new version of a prompt. Not tried again, for that could make two."""
        return self._once("POST", "", body, f"prompt {body['name']!r}")

    def set_labels(self, name: str, version: int, labels: Sequence[str]) -> PromptClient:
        """Gives labels to a version."""
        path = f"/{quote(name, safe='')}/versions/{version}"
        return self._once("PATCH", path, {"newLabels": list(labels)}, str(PromptKey(name, version, None)))

    def _once(self, method: str, path: str, body: Mapping[str, Any], what: str) -> PromptClient:
        try:
            return self._request(method, path, body, what, None)
        except _Passing as error:
            raise error.error from None

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, what: str, timeout: float | None
    ) -> PromptClient:
        """Raises _Passing for what may be different the next time, else PromptError."""
        if not self.public_key or not self._secret_key:
            raise PromptError(
                f"{what} needs the keys of {self.url}: set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY", KEYS
            )
        if not self.url.startswith(("http://", "https://")):
            raise PromptError(
                f"{what}: {self.url!r} is no server: LANGFUSE_BASE_URL must begin with http:// or https://",
                REFUSED,
            )
        seconds = self._timeout if timeout is None else timeout
        try:
            status, answer, retry_after = self._exchange(method, path, body, seconds)
        except TimeoutError:
            raise _Passing(self._unanswered(what, f"no answer within {seconds:g} s")) from None
        except URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise _Passing(self._unanswered(what, f"no answer within {seconds:g} s")) from None
            raise _Passing(self._unanswered(what, str(error.reason))) from None
        except OSError as error:
            raise _Passing(self._unanswered(what, str(error))) from None
        except (HTTPException, ValueError) as error:
            # Their text may have parts of a proxy's address, with its password.
            raise _Passing(self._unanswered(what, type(error).__name__)) from None
        if not 200 <= status < 300:
            raise self._refusal(what, status, answer, retry_after)
        try:
            return parse_prompt(json.loads(answer))
        except (ValueError, RecursionError) as error:
            reason = "no JSON" if isinstance(error, (json.JSONDecodeError, UnicodeError)) else str(error)
            raise _Passing(self._unanswered(what, f"it answered with no prompt: {reason}", status)) from None

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float
    ) -> tuple[int, bytes, float | None]:
        data = None if body is None else json.dumps(body).encode()
        basic = base64.b64encode(f"{self.public_key}:{self._secret_key}".encode()).decode()
        headers = {
            "Accept": "application/json",
            "User-Agent": f"offpath-python/{__version__}",
            **({} if data is None else {"Content-Type": "application/json"}),
            **self._headers,
            "Authorization": f"Basic {basic}",
        }
        request = Request(
            f"{self.url}/api/public/v2/prompts{path}", data=data, headers=headers, method=method
        )
        end = time.monotonic() + seconds
        if self._opener is None:
            self._opener = build_opener(_NoRedirect)
        try:
            response = self._opener.open(request, timeout=seconds)
        except HTTPError as error:
            with error:
                retry_after = _seconds(error.headers.get("Retry-After"))
                if error.code in range(300, 400):
                    return error.code, (error.headers.get("Location") or "").encode(), retry_after
                return error.code, _read(error, end), retry_after
        with response:
            return response.status, _read(response, end), None

    def _unanswered(self, what: str, reason: str, status: int | None = None) -> PromptError:
        text = f"{what}: {self.url} did not give it ({self._clean(reason)}): is the server up, and LANGFUSE_BASE_URL right?"
        return PromptError(text, UNAVAILABLE, status)

    def _refusal(self, what: str, status: int, answer: bytes, retry_after: float | None) -> Exception:
        if status == 401 or status == 403:
            return PromptError(
                f"{what}: {self.url} does not take the keys ({status}): check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, "
                "and that LANGFUSE_BASE_URL is the server they were made on",
                KEYS,
                status,
            )
        if status in range(300, 400):
            place = self._clean(_without_credentials(answer.decode("latin-1")))
            return PromptError(
                f"{what}: {self.url} redirects to {place} ({status}); keys are not sent on: name that server in LANGFUSE_BASE_URL",
                REFUSED,
                status,
            )
        message = _message(answer)
        if status >= 500 or status in _RETRIED:
            return _Passing(self._unanswered(what, f"{status} {message or ''}".strip(), status), retry_after)
        if status == 404:
            if message is None:
                # A proxy's, whose server is gone: no word on the prompt.
                return self._unanswered(what, "404, and not by Langfuse", status)
            return PromptError(
                f"{what} is not at {self.url} in the project of {self.public_key}: check name, version and label, "
                "or make it with create_prompt()",
                NOT_FOUND,
                status,
            )
        return PromptError(
            f"{what}: {self.url} refused it ({status}): {self._clean(message or 'without a reason')}",
            REFUSED,
            status,
        )

    def _clean(self, text: str) -> str:
        """What others said, fit for one line of a log and without the key, should they echo it."""
        if self._secret_key:
            text = text.replace(self._secret_key, "…")
            text = text.replace(
                base64.b64encode(f"{self.public_key}:{self._secret_key}".encode()).decode(), "…"
            )
        return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)[:_MAX_MESSAGE_CHARS]


class _Passing(Exception):
    """An error that may be gone the next time."""

    def __init__(self, error: PromptError, retry_after: float | None = None) -> None:
        super().__init__()
        self.error = error
        self.retry_after = retry_after


class _NoRedirect(HTTPRedirectHandler):
    """urllib would send the keys to wherever it is redirected."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _read(response: HTTPResponse | HTTPError, end: float) -> bytes:
    """Raises TimeoutError when a server that keeps sending has not finished by `end`."""
    parts: list[bytes] = []
    size = 0
    while True:
        part = response.read1(65536)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > _MAX_ANSWER_BYTES:
            raise OSError(f"an answer of more than {_MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > end:
            raise TimeoutError


def _message(answer: bytes) -> str | None:
    """What an error of Langfuse's API says; None for what is none."""
    try:
        data = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return str(data.get("message", "")) if isinstance(data, dict) else None


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and re.fullmatch(r"\d{1,6}", retry_after.strip()) else None


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
    except ValueError:
        return ""
