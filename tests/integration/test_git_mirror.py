"""The mirror of a sync with a real git: it is a cache, held by one, and bounded whatever is in the repository."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.builders.repositories import ENVIRON, git
from tests.builders.toolchains import require

from volant.clock import SystemClock
from volant.gitops import Mirror, SyncFailed, address
from volant.gitops import git as gitops
from volant.gitops.child import MAX_COMPLAINT, Terms, run

A = "kind: VM\nmetadata: {name: a}\nspec: {plugin: hello}\n"


class Repository:
    """A repository with one manifest, and a mirror of it."""

    def __init__(self, root: Path) -> None:
        require("git")
        self.work, self.home, self.out = root / "work", root / "home", root / "out"
        self.work.mkdir()
        git(self.work, "init", "-q")
        (self.work / "a.yaml").write_text(A)
        self.commit = self.pushed()

    @property
    def mirror(self) -> Path:
        """Where git keeps it."""
        return self.home / "mirror"

    def pushed(self) -> str:
        """A commit of all that there is. Its id."""
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", "x")
        return git(self.work, "rev-parse", "HEAD")

    def turn(self) -> str:
        """The commit that a turn reads."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        with Mirror(address(str(self.work)), None, self.home, ENVIRON) as mirror:
            commit = mirror.fetched()
            mirror.write(commit, "", self.out)
        assert (self.out / "a.yaml").read_text() == A
        return commit

    def objects(self) -> list[Path]:
        """The files of all objects of the mirror."""
        return [path for path in (self.mirror / "objects").rglob("*") if path.is_file()]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def half_made(it: Repository) -> None:
    shutil.rmtree(it.mirror)
    it.mirror.mkdir()
    (it.mirror / "HEAD").write_text("ref: refs/heads/main\n")


def empty_objects(it: Repository) -> None:
    for path in it.objects():
        path.chmod(0o600)
        path.write_bytes(b"")


def empty_ref(it: Repository) -> None:
    (it.mirror / "refs" / "volant" / "head").write_text("")


def zeroed_config(it: Repository) -> None:
    (it.mirror / "config").write_bytes(bytes(66))


def empty_head(it: Repository) -> None:
    (it.mirror / "HEAD").write_text("")


@pytest.mark.parametrize("harm", [half_made, empty_objects, empty_ref, zeroed_config, empty_head])
def test_a_damaged_mirror_is_made_anew(repository: Repository, harm: Callable[[Repository], None]) -> None:
    repository.turn()
    harm(repository)
    assert repository.turn() == repository.commit


def test_a_file_that_cannot_be_read_is_fetched_again_with_the_next_turn(repository: Repository) -> None:
    """It is not looked at before it is needed."""
    repository.turn()
    blob = git(repository.work, "rev-parse", "HEAD:a.yaml")
    (damaged,) = (path for path in repository.objects() if path.parent.name + path.name == blob)
    damaged.chmod(0o600)
    damaged.write_bytes(b"")
    with pytest.raises(SyncFailed):
        repository.turn()
    assert repository.turn() == repository.commit


def test_a_remote_that_cannot_be_reached_costs_no_mirror(repository: Repository) -> None:
    """Also of a branch that was rewritten, which leaves commits without parents in it."""
    for _ in range(2):
        repository.turn()
        git(repository.work, "commit", "-q", "--allow-empty", "--amend", "-m", "y")
        git(repository.work, "commit", "-q", "--allow-empty", "-m", "z")
    repository.turn()
    before = repository.objects()
    away = repository.work.rename(repository.work.with_name("away"))
    for _ in range(2):
        with pytest.raises(SyncFailed, match="cannot fetch"):
            repository.turn()
    assert repository.objects() == before
    away.rename(repository.work)
    repository.turn()


def test_a_git_that_is_left_behind_holds_the_mirror(repository: Repository) -> None:
    """Whoever comes next would take its locks away."""
    repository.turn()
    lock = (repository.home / "lock").open("ab")
    fcntl.flock(lock, fcntl.LOCK_EX)
    left = subprocess.Popen(["sleep", "60"], pass_fds=[lock.fileno()])
    try:
        lock.close()
        with pytest.raises(SyncFailed, match="or a git that one has left"):
            repository.turn()
    finally:
        left.kill()
        left.wait()
    assert repository.turn() == repository.commit


def test_git_holds_the_lock_and_what_it_leaves_when_all_is_well_does_not(tmp_path: Path) -> None:
    """A cache of credentials lives on, and has what git had."""
    require("git")
    seen = tmp_path / "seen"
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nls -l /proc/$$/fd > {seen}\nexit 1\n")
    ssh.chmod(0o700)
    environ = {**ENVIRON, "GIT_SSH": str(ssh)}
    with Mirror(address("git@127.0.0.1:a.git"), "main", tmp_path / "home", environ) as mirror:
        with pytest.raises(SyncFailed):
            mirror.fetched()
        assert mirror._lock is not None
        helper = subprocess.Popen(["sleep", "60"], pass_fds=[mirror._lock.fileno()])
    try:
        assert f"{tmp_path}/home/lock" in seen.read_text()
        with Mirror(address("git@127.0.0.1:a.git"), "main", tmp_path / "home", environ):
            pass
    finally:
        helper.kill()
        helper.wait()


def test_a_tree_with_more_files_than_a_host_has_memory_is_refused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 20 directories has the next one ten times."""
    tree = git(repository.work, "rev-parse", "HEAD^{tree}")
    for _ in range(20):
        lines = "".join(f"040000 tree {tree}\t{n}\n" for n in range(10))
        made = subprocess.run(
            ["git", "-C", str(repository.work), "mktree"],
            input=lines.encode(),
            capture_output=True,
            check=True,
            env=ENVIRON,
        )
        tree = made.stdout.decode().strip()
    bomb = git(repository.work, "commit-tree", "-m", "x", tree)
    git(repository.work, "update-ref", "HEAD", bomb)
    monkeypatch.setattr(gitops, "MAX_LISTED", 1 << 20)
    with pytest.raises(SyncFailed, match="there is more of it than 1 MiB"):
        repository.turn()


@pytest.mark.parametrize(
    ("script", "why"), [("yes", "more of it than 1 MiB"), ("yes >&2", "takes too long"), ("sleep 60", "takes too long")]
)
def test_a_git_is_bounded_in_what_it_says_and_in_time_however_much_it_says(script: str, why: str) -> None:
    with pytest.raises(SyncFailed, match=why):
        run(["sh", "-c", script], Terms({}, 0.3, 1 << 20), lambda: False, SystemClock())


def test_what_a_git_is_given_it_hears_and_of_its_complaints_the_last_are_kept() -> None:
    script = "head -c 200000 /dev/zero >&2; echo why >&2; cat; exit 3"
    said = run(["sh", "-c", script], Terms({}, 10.0, 1 << 20, b"heard"), lambda: False, SystemClock())
    assert (said.status, said.out) == (3, b"heard")
    assert said.complaint.endswith(b"why\n")
    assert len(said.complaint) <= MAX_COMPLAINT
