"""The baseline: the least that starlette can answer with JSON, on the daemon's own server configuration.

    python -m bench.baseline FILE     serves on a free port of 127.0.0.1 and writes the URL into FILE when it listens

`GET //hello` encodes a constant; `POST //echo` decodes its body and encodes it again; `GET //kept` sends the bytes that
`POST //kept` was given. No store, no validation, no
middleware: the distance to it is what the daemon adds.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from volant.daemon.server import Server, bind, url_of


async def hello(_: Request) -> JSONResponse:
    """A constant."""
    return JSONResponse({"hello": "world"})


async def echo(request: Request) -> JSONResponse:
    """What came in, decoded and encoded again."""
    return JSONResponse(await request.json(), status_code=201)


async def kept(request: Request) -> Response:
    """The bytes of the last POST, as they are."""
    if request.method == "POST":
        request.app.state.kept = await request.body()
        return Response(status_code=204)
    return Response(request.app.state.kept, media_type="application/json")


async def serve(url_file: Path) -> None:
    """Until SIGTERM."""
    echoes, keeps = Route("/echo", echo, methods=["POST"]), Route("/kept", kept, methods=["GET", "POST"])
    app = Starlette(routes=[Route("/hello", hello), echoes, keeps])
    server = Server(app, asyncio.Event())
    sock = bind("127.0.0.1", 0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)
    url_file.write_text(url_of(sock))
    await server.serve(sockets=[sock])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
