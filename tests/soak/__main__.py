"""`python -m tests.soak`: rounds for as long as told, one line each; the seed and what was found on failure."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.campaign import Found
from tests.soak.runs import a_seed, campaign

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> float:
    """`90`, `90s`, `10m`, `8h` -> seconds."""
    found = re.fullmatch(r"(\d+)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected 90s, 10m or 8h, not {text}")
    return float(found[1]) * _UNITS[found[2]]


def main() -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--duration", type=seconds, default=600.0, help="90s, 10m, 8h (10m)")
    parser.add_argument("--rounds", type=int, default=1 << 60, help="at most so many")
    parser.add_argument("--seed", type=int, default=None, help="the one that a failure has printed")
    parser.add_argument("--guest", choices=["light", "hello"], default="light", help="what is booted (light)")
    asked = parser.parse_args()
    seed = a_seed() if asked.seed is None else asked.seed
    print(f"seed {seed}, {asked.guest} guests", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        return _run(asked, seed, Path(directory))


def _run(asked: argparse.Namespace, seed: int, directory: Path) -> int:
    began = time.monotonic()
    try:
        with campaign(asked.guest, directory, seed) as running:
            while running.rounds < asked.rounds and time.monotonic() - began < asked.duration:
                rest_s = running.round()
                print(f"{time.monotonic() - began:7.1f} s  rest after {rest_s:4.1f} s  {running.figures()}", flush=True)
            running.finish()
    except Found as found:
        print(f"FOUND, again with --seed {seed} --guest {asked.guest}:\n{found}", file=sys.stderr)
        return 1
    print(f"nothing lost, {time.monotonic() - began:.0f} s: {running.figures()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
