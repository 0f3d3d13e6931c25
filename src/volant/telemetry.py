"""Logs: one JSON object a line on standard error, or coloured text on a terminal.

`logger(name)` is how everybody gets one. Nothing secret is logged: no bodies, no environment, no user-data; exceptions
are logged without their local variables. A line stays a line, and no terminal obeys what somebody has written into it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer


class Logger(Protocol):
    """What `logger` gives: an event name in snake.case and fields."""

    def debug(self, event: str, **fields: Any) -> Any:
        """For whoever is looking for a fault."""
        ...

    def info(self, event: str, **fields: Any) -> Any:
        """Something happened that was meant to."""
        ...

    def warning(self, event: str, **fields: Any) -> Any:
        """Something happened that somebody may want to look at."""
        ...

    def error(self, event: str, **fields: Any) -> Any:
        """Something failed. Logged once when it starts and once when it ends."""
        ...


_STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_ENCODER = msgspec.json.Encoder(enc_hook=repr)


def _to_json(fields: dict[str, Any], **_: Any) -> str:
    return _STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", _ENCODER.encode(fields).decode())


def _harmless(_: Any, __: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What steers a terminal, or breaks a line in two, is written out: messages hold names that users have given."""
    shown = {key: _written_out(value) if isinstance(value, str) else value for key, value in fields.items()}
    # The renderer for people takes a text, and the transformer gives what machines read.
    traceback = shown.get("exception")
    return {**shown, "exception": "\n".join(_lines(traceback))} if isinstance(traceback, list) else shown


def _lines(traceback: list[dict[str, Any]]) -> Iterator[str]:
    for error in traceback:
        yield _written_out(f"{error['exc_type']}: {error['exc_value']}")
        yield from (f"  {frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in error["frames"])
        for one_of_a_group in error["exceptions"]:
            yield from (f"  | {line}" for line in _lines(one_of_a_group))


def _written_out(text: str) -> str:
    return _STEERS.sub(lambda found: repr(found[0])[1:-1], text)


def configure(level: str = "info", *, as_text: bool | None = None) -> None:
    """Set up logging for the process: text on a terminal, JSON lines elsewhere, `as_text` overrules."""
    text = sys.stderr.isatty() if as_text is None else as_text
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # show_locals=False: a traceback's local variables hold users' data.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=20)),
    ]
    final: list[structlog.typing.Processor] = (
        [_harmless, structlog.dev.ConsoleRenderer()]
        if text
        else [structlog.processors.JSONRenderer(serializer=_to_json)]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "qemu.qmp"):
        quiet = logging.getLogger(name)
        quiet.handlers.clear()
        quiet.propagate = True
    # The library logs each lost connection as an error; a lost connection is how a guest's end looks to us.
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
    # They log whole URLs and headers, in which signatures and tokens stand.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def logger(name: str) -> Logger:
    """A logger named after its module, such as `volant.reconcile`."""
    bound: Logger = structlog.stdlib.get_logger(name)
    return bound
