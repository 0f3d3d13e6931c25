"""Users over HTTP, as JSON. Run as `python3 user_api.py --data users.db`.

    GET    /users?limit=&offset=     POST   /users
    GET    /users/{id}               PUT    /users/{id}           DELETE /users/{id}
    GET    /healthz                  GET    /openapi.json

Nothing but the standard library. SIGTERM ends it once the requests that are being answered are. VERSION in the
environment is what it calls itself in `Server`, PORT where it listens unless `--port` says otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from user_store import Taken, Users

DOCUMENT = Path(__file__).with_name("openapi.json")
MAX_BODY = 16 << 10
MAX_LIMIT = 500
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")
ONE = re.compile(r"/users/([0-9]{1,18})")


class Refused(Exception):
    """An answer that is no success: its status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Api(BaseHTTPRequestHandler):
    """One connection. The server has the users."""

    protocol_version = "HTTP/1.1"
    server_version = f"user-api/{os.environ.get('VERSION', '1')}"
    sys_version = ""
    # Whoever holds a connection and says nothing does not hold up the end of the program for longer.
    timeout = 5
    server: Server

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as its base calls it
        """Nobody reads it: the console is for what goes wrong."""

    def _get(self, path: str, body: dict[str, Any]) -> tuple[int, object]:
        if path == "/healthz":
            return 200, {"status": "ok"}
        if path == "/openapi.json":
            return 200, json.loads(DOCUMENT.read_bytes())
        if path == "/users":
            return 200, self.server.users.all(self._number("limit", 100, MAX_LIMIT), self._number("offset", 0, 1 << 60))
        return 200, _there(self.server.users.get(_one(path)))

    def _post(self, path: str, body: dict[str, Any]) -> tuple[int, object]:
        if path != "/users":
            raise Refused(404, "no such path")
        return 201, self.server.users.add(*_user(body))

    def _put(self, path: str, body: dict[str, Any]) -> tuple[int, object]:
        return 200, _there(self.server.users.change(_one(path), *_user(body)))

    def _delete(self, path: str, body: dict[str, Any]) -> tuple[int, object]:
        if not self.server.users.remove(_one(path)):
            raise Refused(404, "no such user")
        return 204, None

    def _answer(self, act: Any) -> None:
        try:
            status, content = act(urlsplit(self.path).path, self._body())
        except Refused as error:
            status, content = error.status, {"error": str(error)}
        except Taken:
            status, content = 409, {"error": "another user has this address"}
        data = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        if content is not None:
            self.send_header("content-type", "application/json")
        if status != 204:
            self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> dict[str, Any]:
        if self.command not in ("POST", "PUT"):
            return {}
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True  # because what follows is not read
            raise Refused(413, f"a body of at most {MAX_BODY} bytes is expected, with its length")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise Refused(400, "the body is not JSON") from None
        if not isinstance(body, dict):
            raise Refused(400, "the body is not a JSON object")
        return body

    def _number(self, name: str, default: int, most: int) -> int:
        text = parse_qs(urlsplit(self.path).query).get(name, [str(default)])[-1]
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= most):
            raise Refused(400, f"{name} is a number, at most {most}")
        return int(text)


class Server(ThreadingHTTPServer):
    """The listening end, and the users."""

    daemon_threads = False
    allow_reuse_address = True
    # Not 5: whoever comes while so many wait is not told so, and finds nobody in the end.
    request_queue_size = 128

    def __init__(self, port: int, users: Users) -> None:
        self.users = users
        super().__init__(("", port), Api)

    def server_bind(self) -> None:
        # Not HTTPServer's: that asks for the host's full name, and waits for a resolver that may not be there.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "user-api", self.server_address[1]


def _one(path: str) -> int:
    found = ONE.fullmatch(path)
    if found is None:
        raise Refused(404, "no such path")
    return int(found[1])


def _there(user: dict[str, Any] | None) -> dict[str, Any]:
    if user is None:
        raise Refused(404, "no such user")
    return user


def _user(body: dict[str, Any]) -> tuple[str, str]:
    name, email = body.get("name"), body.get("email")
    if not isinstance(name, str) or not 0 < len(name) <= 100:
        raise Refused(400, "name is a text of 1 to 100 characters")
    if not isinstance(email, str) or EMAIL.fullmatch(email) is None:
        raise Refused(400, "email is an address")
    return name, email


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8080")))
    asked = parser.parse_args()
    users = Users(asked.data)
    server = Server(asked.port, users)
    # `shutdown` waits for `serve_forever`, which runs in this thread: another one has to call it.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"user-api: serving on port {server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    users.close()


if __name__ == "__main__":
    main()
