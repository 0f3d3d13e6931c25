"""`volant sync` from a local bare git repository and from a directory, against the API on a real socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from click.testing import Result
from structlog.testing import capture_logs
from tests.builders.commands import run
from tests.builders.server import PATIENCE_S, Served, serving

from volant.cli.ending import ERROR, USAGE
from volant.model.meta import Key

COMMIT = "volant.sync/commit"
AS = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main")
ENVIRON = {**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(where: Path, *words: str) -> str:
    """Git, without what the host says of it."""
    command = ["git", *AS, "-C", str(where), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=ENVIRON)
    return done.stdout.strip()


def told(where: Path, given: bytes, *words: str) -> str:
    """What git makes of these bytes."""
    done = subprocess.run(["git", "-C", str(where), *words], input=given, capture_output=True, check=True, env=ENVIRON)
    return done.stdout.decode().strip()


def blob(where: Path, text: str) -> str:
    return told(where, text.encode(), "hash-object", "-w", "--stdin")


def tree_of(where: Path, lines: list[str]) -> str:
    return told(where, "\n".join([*lines, ""]).encode(), "mktree")


def raw(where: Path, tree: bytes) -> str:
    return told(where, tree, "hash-object", "-w", "--literally", "-t", "tree", "--stdin")


def vm(name: str, memory_mb: int = 128) -> str:
    config = f"{{resources: {{memory_mb: {memory_mb}}}}}"
    return f"kind: VM\nmetadata: {{name: {name}}}\nspec: {{plugin: hello, config: {config}}}\n"


class Desk(NamedTuple):
    """An API with a plugin, a working tree, and the bare repository that it is pushed to."""

    api: Served
    bare: Path
    work: Path

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.api.port}"

    @property
    def words(self) -> list[str]:
        """The command, but for its options."""
        state = str(self.bare.parent / "state")
        return ["sync", "--git", str(self.bare), "--path", "infra", "--state-dir", state]

    def push(self, **files: str | None) -> str:
        """A commit of these files below infra; None is none. Its id."""
        (self.work / "infra").mkdir(exist_ok=True)
        for name, text in files.items():
            file = self.work / "infra" / f"{name}.yaml"
            if text is None:
                file.unlink()
            else:
                file.write_text(text)
        git(self.work, "add", "-A")
        return self.commit()

    def commit(self, *words: str) -> str:
        """What is added, pushed over whatever is there."""
        git(self.work, "commit", "-q", "--allow-empty", "-m", "x", *words)
        git(self.work, "push", "-q", "--force", str(self.bare), "HEAD:main")
        return git(self.work, "rev-parse", "HEAD")

    async def turn(self, *words: str) -> Result:
        """One turn."""
        return await asyncio.to_thread(run, self.url, *self.words, "--once", *words)

    async def done(self, *words: str) -> str:
        """What a turn that goes well says."""
        result = await self.turn(*words)
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    @property
    def revision(self) -> int:
        """Of the store: how much has been written."""
        return self.api.store.revision

    def commits(self) -> dict[str, str | None]:
        """The commit that each VM has."""
        found = {key.name: self.api.store.find(key) for key in self.api.store.keys("VM")}
        return {name: obj.meta.annotations.get(COMMIT) for name, obj in found.items() if obj is not None}


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Desk]:
    bare, work = directory / "infra.git", directory / "work"
    work.mkdir()
    git(directory, "init", "-q", "--bare", str(bare))
    git(work, "init", "-q")
    with capture_logs():
        async with serving(directory) as api:
            await api.installed()
            yield Desk(api, bare, work)


async def test_commits_are_applied_and_what_they_no_longer_name_is_pruned(tmp_path: Path) -> None:
    """A4, A5, A6: nothing is written without a change, and each object has the commit that made it so."""
    async with desk(tmp_path) as here:
        first = here.push(a=vm("a"), b=vm("b"), c=vm("c"))
        assert await here.done("--prune") == f"set infra at {first[:22]}: applied: + vm/a, + vm/b, + vm/c"
        assert here.commits() == {"a": first, "b": first, "c": first}
        before = here.revision
        assert await here.done("--prune") == ""
        assert here.revision == before

        second = here.push(a=vm("a", 256), c=None)
        assert await here.done("--prune") == f"set infra at {second[:22]}: applied: ~ vm/a, - vm/c"
        assert here.commits()["a"] == second
        assert here.commits()["b"] == first
        gone = here.api.store.find(Key("VM", "c"))
        assert gone is None or gone.meta.is_deleting
        before = here.revision
        assert await here.done("--prune") == ""
        assert here.revision == before


async def test_a_broken_commit_applies_and_prunes_nothing_and_a_mended_one_goes_on(tmp_path: Path) -> None:
    """A7, A9: no part of a render is ever applied."""
    async with desk(tmp_path) as here:
        first = here.push(a=vm("a"), b=vm("b"), c=vm("c"))
        await here.done("--prune")
        before = here.revision
        here.push(a=vm("a", 256), b="kind: VM\nmetadata: {name: b}\nspec: [\n", c=None)
        broken = await here.turn("--prune")
        assert broken.exit_code == ERROR
        assert "b.yaml:4:1: not valid YAML" in broken.stderr
        assert "volant-sync-" not in broken.stderr
        here.push(b=vm("b").replace("hello", "nobody"))
        refused = await here.turn("--prune")
        assert refused.exit_code == ERROR
        assert "b.yaml:3:16: /spec/plugin" in refused.stderr
        assert here.revision == before
        mended = here.push(b=vm("b"))
        assert "- vm/c" in await here.done("--prune")
        assert (here.commits()["a"], here.commits()["b"]) == (mended, first)


async def test_what_somebody_deleted_is_brought_back_as_drift(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        first = here.push(a=vm("a"), b=vm("b"))
        await here.done()
        await here.api.delete("/vms/a?wait=none")
        await here.api.clears(here.api.store.vm("a"))
        assert await here.done() == f"set infra at {first[:22]}: drift, brought back: + vm/a"
        assert await here.done() == ""


async def test_what_somebody_changed_is_a_conflict_unless_it_is_taken_over(tmp_path: Path) -> None:
    """A1"""
    async with desk(tmp_path) as here:
        first = here.push(a=vm("a"), b=vm("b"))
        await here.done()
        await here.api.patch("/vms/a/config", resources={"memory_mb": 512})
        assert here.api.store.vm("a").spec.config.resources.memory_mb == 512
        refused = await here.turn()
        assert (refused.exit_code, "api says 512, not 128" in refused.stderr) == (ERROR, True)
        assert f"set infra at {first[:22]}: drift, brought back: ~ vm/a" in await here.done("--force")
        assert here.api.store.vm("a").spec.config.resources.memory_mb == 128


async def test_a_rewritten_branch_is_followed(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.push(a=vm("a"), b=vm("b"))
        await here.done()
        (here.work / "infra" / "a.yaml").write_text(vm("a", 256))
        git(here.work, "add", "-A")
        rewritten = here.commit("--amend")
        assert f"at {rewritten[:22]}: applied: ~ vm/a" in await here.done("--branch", "main")


async def test_a_prune_of_much_has_to_be_meant(tmp_path: Path) -> None:
    """A7"""
    async with desk(tmp_path) as here:
        here.push(a=vm("a"), b=vm("b"), c=vm("c"))
        await here.done()
        here.push(a=None, b=None)
        refused = await here.turn("--prune")
        assert (refused.exit_code, "--confirm-delete 2" in refused.stderr) == (ERROR, True)
        assert (await here.turn("--prune", "--confirm-delete", "1")).exit_code == ERROR
        assert "- vm/a, - vm/b" in await here.done("--prune", "--confirm-delete", "2")
        # Turns that delete nothing need no other number.
        assert await here.done("--prune", "--confirm-delete", "2") == ""


async def test_what_leads_out_of_a_commit_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        (tmp_path / "outside.yaml").write_text(vm("outside"))
        here.push(a=vm("a"))
        link = here.work / "infra" / "b.yaml"
        for target in (str(tmp_path / "outside.yaml"), "../../outside.yaml", "../infra/../x.yaml"):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
            git(here.work, "add", "-A")
            here.commit()
            refused = await here.turn()
            assert (refused.exit_code, "the link b.yaml leads out" in refused.stderr) == (ERROR, True)
        link.unlink()
        (here.work / "infra" / "base.txt").write_text("no manifest")
        link.symlink_to("a.yaml")
        git(here.work, "add", "-A")
        here.commit()
        # Inside it is followed, and says the same object twice.
        assert "VM a is said more than once" in (await here.turn()).stderr
        assert here.api.store.keys("VM") == []


async def test_a_tree_that_no_directory_can_be_is_refused(tmp_path: Path) -> None:
    """A link and a directory of one name would be a way to write anywhere."""
    async with desk(tmp_path) as here:
        here.push(a=vm("a"))
        (tmp_path / "outside").mkdir()
        below = git(here.work, "rev-parse", "HEAD:infra")
        link = blob(here.work, str(tmp_path / "outside"))
        file = blob(here.work, vm("x"))
        bent = [f"120000 blob {link}\td.yaml", f"040000 tree {below}\td.yaml"]
        rooted = b"100644 /etc/x.yaml\0" + bytes.fromhex(file)
        for tree, said in ((tree_of(here.work, bent), "both a file and"), (raw(here.work, rooted), "can be called")):
            git(here.work, "reset", "-q", "--soft", git(here.work, "commit-tree", "-m", "x", tree))
            git(here.work, "push", "-q", "--force", str(here.bare), "HEAD:main")
            refused = await here.turn("--path", "", "--set", "infra")
            assert (refused.exit_code, said in refused.stderr) == (ERROR, True), refused.output
        assert list((tmp_path / "outside").iterdir()) == []


async def test_what_a_commit_does_not_hold_itself_is_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        first = here.push(a=vm("a"))
        git(here.work, "update-index", "--add", "--cacheinfo", f"160000,{first},infra/more")
        here.commit()
        refused = await here.turn("--prune")
        assert (refused.exit_code, "more is a submodule" in refused.stderr) == (ERROR, True)
        assert here.api.store.keys("VM") == []


async def test_what_an_ended_git_has_left_is_in_nobodys_way(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.push(a=vm("a"))
        await here.done()
        for left in ("shallow.lock", "refs/volant/head.lock"):
            (tmp_path / "state" / "mirror" / left).touch()
        here.push(a=vm("a", 256))
        assert "~ vm/a" in await here.done()


async def test_nothing_of_a_repository_that_is_not_there_is_pruned(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.push(a=vm("a"))
        await here.done("--prune")
        before = here.revision
        assert (await here.turn("--prune", "--path", "nowhere", "--set", "infra")).exit_code == ERROR
        assert (await here.turn("--prune", "--branch", "nowhere")).exit_code == ERROR
        shutil.rmtree(here.bare)
        gone = await here.turn("--prune")
        assert (gone.exit_code, "cannot fetch" in gone.stderr) == (ERROR, True)
        assert here.revision == before


async def test_a_directory_is_kept_too(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.push(a=vm("a"), b=vm("b"))
        words = ["sync", "--dir", str(here.work), "--path", "infra", "--once"]
        first = await asyncio.to_thread(run, here.url, *words)
        assert (first.exit_code, "applied: + vm/a, + vm/b" in first.stdout) == (0, True)
        before = here.revision
        assert (await asyncio.to_thread(run, here.url, *words)).output == ""
        assert here.revision == before
        for wrong in (["sync"], ["sync", "--dir", "a", "--git", "b"], ["sync", "--dir", "a", "--branch", "main"]):
            assert (await asyncio.to_thread(run, here.url, *wrong)).exit_code == USAGE


async def test_it_goes_on_over_mistakes_and_ends_cleanly_when_it_is_told_to(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.push(a=vm("a"))
        for number in (signal.SIGTERM, signal.SIGINT):
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "volant", *here.words, "--interval", "1s", "--url", here.url),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=ENVIRON,
            )
            assert child.stdout is not None
            assert child.stderr is not None
            try:
                async with asyncio.timeout(PATIENCE_S):
                    here.push(a=vm("a", 128 + number))
                    assert b"/a" in await child.stdout.readline()
                    here.push(a="kind: [\n")
                    assert b"cannot use these manifests" in await child.stderr.readline()
                    here.push(a=vm("a", 256 + number))
                    assert b"~ vm/a" in await child.stdout.readline()
                    # Another one cannot have its mirror meanwhile.
                    assert "another sync does" in (await here.turn()).stderr
                    child.send_signal(number)
                    assert await child.wait() == 0
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()


async def test_it_ends_while_git_is_waiting_for_an_answer(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\ntouch {begun}\nexec cat\n")
    ssh.chmod(0o700)
    words = ("sync", "--git", "git@127.0.0.1:infra.git", "--state-dir", str(tmp_path / "state"))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "volant", *words), env={**ENVIRON, "GIT_SSH": str(ssh)}
    )
    try:
        async with asyncio.timeout(PATIENCE_S - 5):
            while not begun.exists():
                await asyncio.sleep(0.01)
            child.send_signal(signal.SIGTERM)
            assert await child.wait() == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
