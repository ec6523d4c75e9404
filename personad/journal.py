"""The daemon's own log: JSON lines in a file that only its owner reads, rotated by size."""

import json
import logging
import os
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 4 << 20
KEPT_FILES = 3


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _PrivateFile(RotatingFileHandler):
    def _open(self):  # type: ignore[no-untyped-def]
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


def open_journal(path: Path, level: str) -> None:
    """From now on, everything that is logged in this process goes to `path`."""
    handler = _PrivateFile(path, maxBytes=MAX_BYTES, backupCount=KEPT_FILES)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def readable(line: str) -> str:
    """A line of the journal for people; a line that isn't JSON is shown as it is."""
    try:
        entry = json.loads(line)
        text = f"{entry['at']}  {entry['level']:<7}  {entry['message']}"
    except (ValueError, KeyError, TypeError):
        return line.rstrip("\n")
    return "\n".join([text, *str(entry.get("traceback", "")).splitlines()])
