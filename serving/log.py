"""The server's log: one JSON object per line on standard error."""

import datetime
import logging
import sys
import traceback
from typing import Any

import orjson

from serving.settings import LOG_LEVELS


class Log:
    """A log of events from a level on.

    Args:
      level: `info`, `warning` or `error`.

    Attributes:
      has_requests: Whether requests are logged.
    """

    def __init__(self, level: str) -> None:
        self._level = LOG_LEVELS.index(level)
        self.has_requests = self._level == 0

    def info(self, event: str, **fields: Any) -> None:
        """Log an event of normal operation."""
        self._write(0, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log an event that needs attention."""
        self._write(1, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log a failure."""
        self._write(2, event, fields)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if level < self._level:
            return
        now = datetime.datetime.now(datetime.UTC)
        line = {"time": now, "level": LOG_LEVELS[level], "event": event, **fields}
        try:
            data = orjson.dumps(line)
        except TypeError:  # half of a surrogate pair, which is no text
            data = orjson.dumps({key: _as_text(value) for key, value in line.items()})
        try:
            sys.stderr.buffer.write(data + b"\n")
            sys.stderr.buffer.flush()
        except (OSError, ValueError):
            pass  # standard error is closed; the server continues


class JsonHandler(logging.Handler):
    """A handler that forwards the records of libraries to the server's log.

    Args:
      log: The server's log.
    """

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record, with its traceback if there is one."""
        fields = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        write("library", **fields)


def _as_text(value: Any) -> Any:
    """Escape in a string what is not text; other values have the same type in every line."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
