"""Git repositories of tests: a working tree, and the bare repository that it is pushed to."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.builders.toolchains import ROOT, require

AS = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main")
ENVIRON = {**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(where: Path, *words: str) -> str:
    """Git, without what the host says of it."""
    command = ["git", *AS, "-C", str(where), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=ENVIRON)
    return done.stdout.strip()


class Shop:
    """`examples/gitops` as a repository, its plugin made of files that are below `root`."""

    def __init__(self, root: Path) -> None:
        require("git")
        self.bare, self.work, self.files = root / "shop.git", root / "work", root / "files"
        self.infra = self.work / "infra"
        shutil.copytree(ROOT / "examples" / "gitops", self.work)
        self.files.mkdir()
        for name in ("vmlinux", "initramfs.gz"):
            (self.files / name).write_bytes(name.encode())
        git(root, "init", "-q", "--bare", str(self.bare))
        git(self.work, "init", "-q")
        self.change("plugins/hello.yaml", "/srv/volant/images", str(self.files))

    def change(self, name: str, old: str, new: str) -> None:
        """Say something else in a file."""
        file = self.infra / name
        text = file.read_text()
        assert old in text, text
        file.write_text(text.replace(old, new))

    def push(self) -> str:
        """A commit of everything as it is now. Its id."""
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", "x")
        git(self.work, "push", "-q", "--force", str(self.bare), "HEAD:main")
        return git(self.work, "rev-parse", "HEAD")
