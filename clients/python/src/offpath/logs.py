"""Log records as events of the observation that is active.

logging.getLogger().addHandler(OffpathHandler(level="INFO"))
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from ._api.context import active
from ._api.observation import SpanLevel

#: What every record has; the rest came with `extra`.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_OWN = "offpath"

_emitting: ContextVar[bool] = ContextVar("offpath_emitting", default=False)


class OffpathHandler(logging.Handler):
    """Records each log record as an event under the active observation; without one, nothing is recorded.

    The event is named after the logger. `output`: the message, as the handler's formatter makes it where it has one;
    `metadata`: level, file, function, what came as `extra`, and the traceback as `exception`. From WARNING on the message is
    the status message too. What Offpath itself logs is left out. Takes no lock, and never raises: a record that can't be
    read goes to `logging.Handler.handleError`.
    """

    def createLock(self) -> None:
        # A value is serialised in emit, and nobody must wait for that.
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        kept: Any = self.filter(record)
        if kept:
            # From Python 3.12 on a filter may return another record.
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        context = active.get()
        if context is None or context.observation is None or _emitting.get():
            return
        if record.name == _OWN or record.name.startswith(f"{_OWN}."):
            return
        token = _emitting.set(True)
        try:
            message = record.getMessage() if self.formatter is None else self.format(record)
            observation = context.observation
            is_notable = record.levelno >= logging.WARNING
            observation.create_event(
                name=record.name,
                output=message,
                metadata=_metadata(record),
                level=_level(record.levelno),
                status_message=observation._client._mask_value(message) if is_notable else None,
            )
        except Exception:
            self.handleError(record)
        finally:
            _emitting.reset(token)


def _level(number: int) -> SpanLevel | None:
    if number >= logging.ERROR:
        return "ERROR"
    if number >= logging.WARNING:
        return "WARNING"
    return None if number >= logging.INFO else "DEBUG"


def _metadata(record: logging.LogRecord) -> dict[str, Any]:
    extra = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
    metadata = {
        **extra,
        "level": record.levelname,
        "file": f"{record.pathname}:{record.lineno}",
        "function": record.funcName,
    }
    if record.exc_info and record.exc_info[0] is not None:
        metadata["exception"] = logging.Formatter().formatException(record.exc_info)
    return metadata
