"""Whom the source can send a signal to: nobody but through a handle of a process that was looked at."""

from __future__ import annotations

import ast

import pytest
from tests.builders.sources import SOURCE, trees

BY_PID = {"kill", "killpg", "send_signal", "terminate", "pthread_kill", "raise_signal", "sigqueue"}
"""What reaches a process by its number, which may be somebody else's by then."""
OURS = {"kill": {"processes", "hypervisor", "self._hypervisor", "vmm", "super()", "self"}}
"""Things of our own that are called so, and take a uid or a handle."""


CHILDREN = {
    "daemon/forecast/process.py": ["process.kill"],
    "drivers/bridge/nft.py": ["child.kill"],
    "gitops/child.py": ["os.killpg"],
    "images/build/debian.py": ["process.kill"],
    "images/build/debs.py": ["process.kill"],
    "images/oci/layers.py": ["process.kill"],
}
"""Commands that a module has started itself and waits for: until it has, their number cannot be another's."""


def by_number(tree: ast.AST) -> list[str]:
    """The calls of a module that send a signal by pid."""
    calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    return [
        ast.unparse(func)
        for func in calls
        if func.attr in BY_PID and ast.unparse(func.value) not in OURS.get(func.attr, set())
    ]


def test_no_signal_is_sent_by_pid() -> None:
    """P9: `pidfd_send_signal` is the only way, and it is in one file."""
    found = {str(file.relative_to(SOURCE)): calls for file, tree in trees() if (calls := by_number(tree))}
    assert found == CHILDREN
    senders = [file.name for file, tree in trees() if "pidfd_send_signal" in ast.unparse(tree)]
    assert senders == ["processes.py"]


@pytest.mark.parametrize(
    "source", ["os.kill(pid, 9)", "os.killpg(pid, 9)", "child.kill()", "psutil.Process(1).terminate()"]
)
def test_a_signal_by_pid_is_found(source: str) -> None:
    """P9: the search finds what it is for."""
    assert by_number(ast.parse(source))
