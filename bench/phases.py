"""What a guest says while it boots, and when: the moments between being asked for and answering.

    asked ▸ accepted ▸ VMM runs ▸ kernel speaks ▸ init begins ▸ workload starts ▸ first answer
             daemon     vm.started   └────────── its serial console ──────────┘     its port

The kernel is told not to be quiet, because it is what says when init begins. Speaking costs a guest a few hundred
milliseconds under emulation, on both sides alike; `boot` has the figure of a quiet one.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

PHASES = {
    "accepted": "asked -> accepted (201, on disk)",
    "vmm": "-> the VMM runs",
    "kernel": "-> the kernel speaks",
    "init": "-> init begins",
    "workload": "-> the workload starts",
    "answer": "-> the first answer",
}
"""In their order, and what is printed for the time since the one before."""

_SAID = {
    "kernel": re.compile(rb"\[ *\d+\.\d+\]"),
    "init": re.compile(rb"Run \S+ as init process"),
    "workload": re.compile(rb"volant: ready"),
}

Moments = dict[str, float]
"""When each phase ended (`time.perf_counter`). One that was not seen is not in it."""


def spoken(manifest: dict[str, Any]) -> dict[str, Any]:
    """The plugin with a kernel that says what it does, with its own time before each line."""
    words = [word for word in manifest["kernel"].get("cmdline", "").split() if word != "quiet"]
    return {**manifest, "kernel": {**manifest["kernel"], "cmdline": " ".join([*words, "printk.time=1", "loglevel=7"])}}


class Console:
    """The log of a guest's serial console. A moment is as exact as `look` is called often."""

    def __init__(self, log: Path, moments: Moments) -> None:
        self._log = log
        self._moments = moments
        self._said = b""

    def look(self) -> None:
        """Note what has been said since. Harmless while there is no log."""
        if len(_SAID.keys() & self._moments.keys()) == len(_SAID):
            return
        try:
            said = self._log.read_bytes()
        except FileNotFoundError:
            return
        if said == self._said:
            return
        self._said = said
        now = time.perf_counter()
        for moment, words in _SAID.items():
            if moment not in self._moments and words.search(said):
                self._moments[moment] = now


def durations(moments: Moments, asked: float) -> dict[str, float]:
    """Seconds of each phase: since the one before it that was seen."""
    spent: dict[str, float] = {}
    before = asked
    for phase in PHASES:
        if phase in moments:
            spent[phase] = moments[phase] - before
            before = moments[phase]
    return spent
