"""The process that makes one forecast: `python -m volant.daemon.forecast`, question on stdin, answer on stdout.

It bounds itself before it reads anything: memory, processor time, and no turn before anybody else's on a busy host.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import time

import msgspec

from volant import telemetry
from volant.daemon.forecast.question import Question, Refusal, Told
from volant.daemon.forecast.run import foretell
from volant.errors import VolantError

MEMORY_BYTES = 2 << 30
CPU_SLACK_S = 15
"""What starting and telling may take beyond the bound of the simulation, which ends by itself."""
NICE = 10
GC_THRESHOLD = 50_000


def main() -> int:
    """Answer one question; 0 unless something broke that is nobody's refusal."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    telemetry.configure("critical", as_text=False)
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    cpu_s = int(question.bounds.cpu_s) + CPU_SLACK_S
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    sys.stdout.buffer.write(msgspec.json.encode(answer(question)))
    return 0


def answer(question: Question) -> Told:
    """The timeline, or why there is none."""
    began = time.process_time()
    try:
        return Told(timeline=foretell(question, lambda: time.process_time() - began))
    except VolantError as error:
        return Told(refusal=Refusal(code=error.code, message=error.message, details=error.details))


if __name__ == "__main__":
    sys.exit(main())
