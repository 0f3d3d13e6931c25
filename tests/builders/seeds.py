"""Seed disks: what to tell a guest, what a disk says when it is read back, and what our init would do with it."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

from pycdlib import PyCdlib

from volant.drivers import Attachment
from volant.images.seed import Told
from volant.model.vm import CloudInit

BUSYBOX = Path("/bin/busybox")
ATTACHMENT = Attachment(
    mode="bridge",
    mac="52:54:00:12:34:56",
    guest_address="10.127.0.5/22",
    gateway="10.127.0.1",
    guest_address6="fd00::5/64",
    gateway6="fd00::1",
    dns=("10.127.0.1", "9.9.9.9"),
    mtu=1400,
)


def a_told(user_data: str | None = None, *, attachment: Attachment = ATTACHMENT, **more: Any) -> Told:
    """What a guest is told; `more` are fields of CloudInit, or `env`, `hostname`, `instance_id`."""
    own = {name: more.pop(name) for name in ("env", "hostname", "instance_id") if name in more}
    told = {"instance_id": "vm-01", "hostname": "web-1", **own}
    return Told(attachment=attachment, cloud_init=CloudInit(user_data=user_data, **more), **told)


def read_back(disk: bytes) -> dict[str, bytes]:
    """The files of a disk by their Rock Ridge names. Those by their Joliet names are the same."""
    image = PyCdlib()
    image.open_fp(io.BytesIO(disk))
    try:
        found = _files(image, "rr_path")
        assert found == _files(image, "joliet_path")
        return found
    finally:
        image.close()


def calls(script: bytes) -> list[list[str]]:
    """What a script of calls means to busybox's shell: the words of each call, of which none was run."""
    names = ("instance", "hostname", "env", "note", "at_boot", "file", "once", "user", "cwd", "stop", "before", "argv")
    program = "".join(f'{name}() {{ printf "%s\\0" {name} "$@"; printf "\\1\\0"; }}\n' for name in names).encode()
    done = subprocess.run([BUSYBOX, "sh"], input=program + script, capture_output=True, check=True, env={})
    assert done.stderr == b""
    words = done.stdout.decode("utf-8", "replace").split("\0")[:-1]
    found: list[list[str]] = [[]]
    for word in words:
        if word == "\1":
            found.append([])
        else:
            found[-1].append(word)
    return found[:-1]


def _files(image: PyCdlib, names: str) -> dict[str, bytes]:
    found = {}
    for directory, _, files in image.walk(**{names: "/"}):
        for file in files:
            path = f"{directory.rstrip('/')}/{file}"
            out = io.BytesIO()
            image.get_file_from_iso_fp(out, **{names: path})
            found[path.lstrip("/")] = out.getvalue()
    return found
