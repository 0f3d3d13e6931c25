"""One simulated guest: its process, and the record beside it that outlives the process."""

from __future__ import annotations

from msgspec import Struct

from volant.clock import Instant, Uid
from volant.drivers import Attachment, Instance
from volant.drivers.simulated.behaviour import Answers, Behaviour
from volant.model.vm import Booted, Exit

CONSOLE_KEEP = 1 << 12


class Guest(Struct, kw_only=True):
    """Mutable, as the world is. Alive until `exit` is set."""

    uid: Uid
    pid: int
    started_at: Instant
    behaviour: Behaviour
    booted: Booted | None
    attachment: Attachment | None = None
    is_running: bool = False
    is_mute: bool = False
    is_hung: bool = False
    is_stopping: bool = False
    lost_stops: int = 0
    answers: Answers = "unhealthy"
    exit: Exit | None = None
    console: bytes = b""
    """What it has said, and what was typed: it echoes. The newest CONSOLE_KEEP bytes."""
    said: int = 0
    """How many bytes that were in all."""

    def say(self, text: bytes) -> None:
        """Put it on the console."""
        self.console = (self.console + text)[-CONSOLE_KEEP:]
        self.said += len(text)

    def since(self, place: int) -> bytes:
        """What it has said after its first so many bytes, as far as that is kept."""
        return self.console[max(0, len(self.console) - (self.said - place)) :] if self.said > place else b""

    @property
    def is_alive(self) -> bool:
        """Whether there is a process."""
        return self.exit is None

    def hears_stop(self) -> bool:
        """Whether one more request to stop gets through; counts it."""
        if self.is_hung or self.is_mute or not self.is_running:
            return False
        if self.lost_stops < self.behaviour.loses_stops:
            self.lost_stops += 1
            return False
        return True

    def look(self) -> Instance:
        """As a driver sees it."""
        if self.exit is not None:
            return Instance(
                uid=self.uid, state="exited", started_at=self.started_at, booted=self.booted, exit=self.exit
            )
        state = "running" if self.is_running else "starting"
        return Instance(
            uid=self.uid,
            state="unknown" if self.is_mute else state,  # type: ignore[arg-type]
            pid=self.pid,
            started_at=self.started_at,
            booted=self.booted,
        )
