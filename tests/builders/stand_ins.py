"""Programs that stand in for QEMU, for what a real one does too rarely: fail, fall silent, hang on the way out.

A stand-in is started by the driver as QEMU is, with the same command line and descriptors, so what is around it is
real. It runs as the user of the test, because Python may not be readable for anybody else.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """#!{python} -S
import re, socket, sys, time
line = "\\0".join(sys.argv)
qmp = re.search("id=qmp,fd=([0-9]+)", line)
def accept():
    connection, _ = socket.socket(fileno=int(qmp[1])).accept()
    connection.sendall(b'{{"QMP": {{"version": {{}}, "capabilities": []}}}}\\n')
    said = connection.makefile("rb")
    for n in (1, 2):
        said.readline()
        connection.sendall(b'{{"return": {{"status": "running"}}, "id": %d}}\\n' % n)
    return connection, said
{body}
"""

MUTE = "time.sleep(600)"
"""Runs and never answers."""

COMPLAINS = r"sys.exit('qemu-system-x86_64: warning: old\nqemu-system-x86_64: no such \x1b[31mcolour')"
"""Ends at once, with two lines on its standard error."""

STUCK = r"""connection, said = accept()
connection.sendall(b'{"event": "GUEST_PANICKED", "data": {"action": "poweroff"}}\n')
connection.sendall(b'{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-panic"}}\n')
time.sleep(600)"""
"""Announces a panic and its end, and does not end."""

FALLS_SILENT = r"""connection, said = accept()
time.sleep(600)"""
"""Answers twice and never again."""

BABBLES = r"""connection, said = accept()
try: connection.sendall(b'not json\n[1]\n{"event": 7}\n' + b'x' * (3 << 20))
except OSError: pass
time.sleep(600)"""
"""Answers, then says what no QEMU would, and does not stop."""


FLOODS = """import os
try:
    while os.write(2, b'x' * 65536): pass
except OSError: pass"""
"""Writes to its standard error until it may not."""


def stand_in(directory: Path, body: str) -> str:
    """An executable file that does `body`. Its path."""
    path = directory / "qemu-stand-in"
    path.write_text(_PROGRAM.format(python=sys.executable, body=body))
    path.chmod(0o755)
    return str(path)
