"""Logs: one JSON object a line on standard error, or coloured text on a terminal.

`logger(name)` is how everybody gets one. Nothing secret is logged: no bodies, no environment, no user-data; exceptions
are logged without their local variables.
"""

from __future__ import annotations

import logging
import sys
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


_ENCODER = msgspec.json.Encoder(enc_hook=repr)


def _to_json(fields: dict[str, Any], **_: Any) -> str:
    return _ENCODER.encode(fields).decode()


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
    final: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer(serializer=_to_json)
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
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final]
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


def logger(name: str) -> Logger:
    """A logger named after its module, such as `volant.reconcile`."""
    bound: Logger = structlog.stdlib.get_logger(name)
    return bound
