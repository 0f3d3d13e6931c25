"""The HTTP server: uvicorn on our loop, with our signals and our socket.

Four of its defaults are not ours. It would take the signals and raise them again after serving, so that nothing of
ours could run at the end; it would wait for ever for an open event stream; it would bind by itself, after the store
is open and too late for one clear sentence; and it would keep whatever a client sends. So signals are the daemon's,
streams are told to end before connections are waited for, the socket is handed in, and connections have bounds
(`connection`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from volant.clock import UidFactory, random_uid
from volant.daemon.connection import Connection
from volant.errors import StartupError

BACKLOG = 2048
GRACE_S = 1
"""How long connections may take to end after their streams were told to. A backstop: it takes milliseconds."""
MAX_FRAME = 64 << 10
"""Bytes of one message on a WebSocket: somebody types, or pastes."""
MAX_CONNECTIONS = 8192
"""At most; and at most half of the descriptors that this process may have, because guests cost some as well."""


class Server(uvicorn.Server):
    """Tells the streams first, and leaves the signals alone."""

    def __init__(self, app: Any, stopping: asyncio.Event, uids: UidFactory = random_uid) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http=partial(Connection, ids=uids, max_connections=_max_connections()),  # type: ignore[arg-type]
                ws=WSProtocol,
                ws_max_size=MAX_FRAME,
                # Not compressed: it costs memory for each, and how well it works tells who listens what is said.
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=GRACE_S,
                backlog=BACKLOG,
            )
        )
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not."""
        yield

    def stop(self) -> None:
        """Begin to end: the streams at once, the rest when uvicorn looks up next (at most 0.1 s later)."""
        self._stopping.set()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then whatever else is open."""
        self._stopping.set()
        await super().shutdown(sockets)


def _max_connections() -> int:
    return min(MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises StartupError with one sentence when the port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that name it: without, the head and the
    # body of an answer leave as two segments and the second waits 40 ms for the acknowledgement of the first.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE:
            raise StartupError(
                f"cannot listen on {host}:{port}: the port is taken. Stop what listens there, or use --listen."
            ) from None
        raise StartupError(f"cannot listen on {host}:{port}: {exc.strerror}") from None
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """`http://127.0.0.1:8080`."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
