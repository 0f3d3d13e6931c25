"""What a guest is there for: one program, described in the image as /volant/workload.

    env PATH=/usr/bin:/bin
    user 101:101
    cwd /srv
    stop SIGQUIT
    before 'mkdir -p /run/nginx'
    argv nginx
    argv -g
    argv 'daemon off;'

Each line is a call in the init's shell, so a word is quoted as a shell wants it and may hold anything but NUL.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from volant.errors import ArtifactRefused

_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?")
_SIGNAL: Final = re.compile(r"SIG[A-Z]{2,6}[0-9]?")


class Workload(Struct, frozen=True, kw_only=True):
    """The program of a guest: `argv` as `user` in `cwd` with `env`. Raises ArtifactRefused for what no guest can run.

    `argv[0]` is a path or a name to be looked up in the PATH of `env`; what the image lacks is taken from busybox. It
    stays in the foreground: when it ends, the guest ends. `user` is USER or USER:GROUP, by number or by the image's own
    names; empty for root. `stop` is the signal that asks it to end. `before` are commands for `sh -c`, run by root at
    every boot, in the workload's environment, before the workload; one that fails ends the guest.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    cwd: str = "/"
    stop: str = "SIGTERM"
    before: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise ArtifactRefused("cannot run a workload without a program: argv is empty")
        if any(not name or "=" in name for name in self.env):
            raise ArtifactRefused("cannot use an environment variable without a name, or with '=' in its name")
        if self.user and _USER.fullmatch(self.user) is None:
            raise ArtifactRefused(f"cannot run a workload as {self.user!r}: USER or USER:GROUP is expected")
        if not self.cwd.startswith("/"):
            raise ArtifactRefused(f"cannot run a workload in {self.cwd!r}: an absolute path is expected")
        if _SIGNAL.fullmatch(self.stop) is None:
            raise ArtifactRefused(f"cannot stop a workload by {self.stop!r}: a name such as SIGTERM is expected")
        if "\0" in "".join((*self.argv, *self.env, *self.env.values(), self.cwd, *self.before)):
            raise ArtifactRefused("cannot use a NUL in a workload")


def described(workload: Workload) -> bytes:
    """The content of /volant/workload."""
    calls = [
        *(("env", f"{name}={value}") for name, value in workload.env.items()),
        *([("user", workload.user)] if workload.user else []),
        ("cwd", workload.cwd),
        ("stop", workload.stop),
        *(("before", command) for command in workload.before),
        *(("argv", word) for word in workload.argv),
    ]
    return "".join(f"{call} {shlex.quote(word)}\n" for call, word in calls).encode("utf-8", "surrogateescape")
