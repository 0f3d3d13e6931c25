"""What a build takes: a kernel of small modules, a host that has it, recipes, small Debian packages.

And a look into the disks that come out.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tests.builders.elves import a_kernel_tree, a_module
from tests.builders.toolchains import not_run

from volant.images.build import Host, Recipe, parse_recipe
from volant.images.build.tools import Tools, found
from volant.images.guest.userland import MODULES
from volant.images.kernel import find_kernel

BUSYBOX = Path("/bin/busybox")
NOBODY = 65534
NOT_READABLE = 77
RELEASE = "6.1.0-1-cloud-amd64"


def a_host(tmp_path: Path, **fields: Any) -> Host:
    """A host with a kernel whose modules are nearly nothing."""
    root = tmp_path / "kernels/linux"
    if not root.exists():
        names = {name for wanted in MODULES.values() for name in wanted}
        a_kernel_tree(root, RELEASE, {name: a_module(name) for name in sorted(names)})
    kernel = find_kernel(tmp_path / "kernels")
    assert kernel is not None
    return Host(kernel=kernel, busybox=BUSYBOX, packages=tmp_path / "packages", **fields)


def a_document(*, manifest: dict[str, Any] | None = None, **tables: Any) -> dict[str, Any]:
    """What is in a recipe's file: a guest that runs `true`, unless said otherwise."""
    named = {"name": "demo", "version": "1.0.0", **(manifest or {})}
    return {"manifest": named, "process": {"argv": ["true"]}, **tables}


def a_recipe(**tables: Any) -> Recipe:
    """A recipe of `a_document`."""
    return parse_recipe(a_document(**tables), "image.toml")


def a_deb(path: Path, files: dict[str, bytes | str], *, control: str = "", modes: dict[str, int] | None = None) -> Path:
    """A Debian package with these files, owned by root; a str is a link's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.mode = (modes or {}).get(name, 0o755 if name.endswith("/") else 0o644)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.gz": _a_control(control), "data.tar.gz": out.getvalue()}
    path.write_bytes(b"!<arch>\n" + b"".join(_ar_member(name, data) for name, data in members.items()))
    return path


def _a_control(text: str) -> bytes:
    out = io.BytesIO()
    said = (
        text or "Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: x\n"
    )
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("./control")
        info.size = len(said.encode())
        archive.addfile(info, io.BytesIO(said.encode()))
    return out.getvalue()


def _ar_member(name: str, data: bytes) -> bytes:
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)


def a_script(path: Path, text: str) -> str:
    """An executable that is a shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def raw_disk(disk: Path, to: Path) -> Path:
    """The content of a qcow2 disk."""
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk, to], check=True, timeout=60)
    return to


def on_disk(raw: Path, path: str) -> str:
    """What debugfs says about a file of an ext4 image."""
    return _debugfs(raw, f'stat "{path}"')


def content_on_disk(raw: Path, path: str) -> str:
    """The text of a file of an ext4 image."""
    return _debugfs(raw, f'cat "{path}"')


def check_disk(raw: Path) -> None:
    """Have e2fsck find nothing wrong."""
    done = subprocess.run([found("e2fsck"), "-fn", raw], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def _debugfs(raw: Path, request: str) -> str:
    command: list[str | Path] = [found(Tools().debugfs), "-R", request, raw]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def as_nobody(act: Callable[[], None]) -> None:
    """Do it in a child that has given up every right. Not run where only root can read the code under test."""
    with warnings.catch_warnings():
        # Later Pythons warn where there are threads: none of ours holds a lock here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _act_and_exit(act)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == NOT_READABLE:
        not_run("only root can read the code under test")
    assert code == 0


def _act_and_exit(act: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        code = 0 if os.access(__file__, os.R_OK) else NOT_READABLE
        if code == 0:
            act()
    except BaseException as error:
        code = 1
        os.write(2, f"as nobody: {error!r}\n".encode())
    finally:
        os._exit(code)
