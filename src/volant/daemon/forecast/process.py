"""The daemon's side of forecasts: a process for each, one at a time, and nothing of it is left afterwards.

    of(body) ──question──▶ python -m volant.daemon.forecast ──timeline or refusal──▶ answer
       └── cancelled, or too late: killed

A process and not a thread: a thread that computes would hold the interpreter every other moment, and the loop of the
daemon would wait for each of them. It is given nothing but a path to read from.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path

import msgspec

from volant.clock import Clock
from volant.daemon.forecast.question import Bounds, Question, Refusal, Told
from volant.errors import ForecastTooLarge, Unavailable
from volant.model.timeline import Timeline
from volant.model.vm import NetworkMode
from volant.telemetry import logger

log = logger("volant.daemon.forecast")

WAITING = 4
"""Who may wait for the forecast that is being made. Each of them takes up to half a minute of one core."""
LATE_S = 180.0

_TOLD = msgspec.json.Decoder(Told)


class Forecaster:
    """Makes forecasts of the database at `path`."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        mode: NetworkMode,
        pools: Mapping[NetworkMode, str],
        bounds: Bounds | None = None,
        late_s: float = LATE_S,
    ) -> None:
        self._path = path.absolute()  # because the other process is somewhere else
        self._clock = clock
        self._mode: NetworkMode = mode
        self._pools = dict(pools)
        self._bounds = bounds or Bounds()
        self._late_s = late_s
        self._turn = asyncio.Semaphore(1)
        self._asked = 0

    async def of(self, body: bytes) -> Timeline:
        """What would come of this body of `POST /apply`. Raises ForecastTooLarge, and Unavailable with codes."""
        if self._asked > WAITING:
            raise Unavailable("cannot forecast now: others are waiting for one", code="forecast_busy")
        self._asked += 1
        try:
            async with self._turn:
                told = await self._told(self._question(body))
        finally:
            self._asked -= 1
        if told.timeline is None:
            raise _refused(told.refusal)
        return told.timeline

    def _question(self, body: bytes) -> bytes:
        question = Question(
            path=str(self._path),
            body=body.decode(),
            now=self._clock.now(),
            mode=self._mode,
            pools=self._pools,
            bounds=self._bounds,
        )
        return msgspec.json.encode(question)

    async def _told(self, question: bytes) -> Told:
        # Where we were found is where it finds itself, whatever directory or script the daemon was started from.
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        command = [sys.executable, "-P", "-m", "volant.daemon.forecast"]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={"PYTHONPATH": path}, cwd="/"
            )
        except OSError as error:
            raise Unavailable(f"cannot forecast: {error.strerror}", code="forecast_failed") from error
        try:
            async with asyncio.timeout(self._late_s):
                said, _ = await process.communicate(question)
        except TimeoutError:
            raise Unavailable(f"cannot forecast: it took over {self._late_s:g} s", code="forecast_failed") from None
        finally:
            await _end(process)
        return _read(said, process.returncode)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def _read(said: bytes, status: int | None) -> Told:
    try:
        return _TOLD.decode(said)
    except msgspec.MsgspecError:
        log.error("forecast.failed", status=status, answer=said[:200].decode(errors="replace"))
        message = f"cannot forecast: its process ended with {status}. Is there memory enough?"
        return Told(refusal=Refusal(code="forecast_failed", message=message))


def _refused(refusal: Refusal | None) -> ForecastTooLarge | Unavailable:
    if refusal is None:
        return Unavailable("cannot forecast: nothing was told", code="forecast_failed")
    if refusal.code == "forecast_too_large":
        return ForecastTooLarge(refusal.message, details=refusal.details)
    return Unavailable(refusal.message, code="forecast_failed")
