"""`python -m tests.mutants [names]`: every seeded bug must be found. Ends with `mutants: 30 of 30 killed, 118 s`.

The gates are run once without any bug, because a tree that is broken kills everything. Exit status 0 only if they are
green, every patch fits and every mutant is killed. `--table` prints the table of the README instead.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.patches import Mutant, Stale, changed, mutants
from tests.mutants.trial import GATE_S, PASSED, ROOT, Verdict, copy_tree, run, tried

AT_ONCE = 2


def main(asked: Sequence[str]) -> int:
    """Try the mutants of these names, or all; the exit status."""
    began = time.monotonic()
    try:
        chosen = [mutant for mutant in mutants() if not asked or mutant.name in asked]
        for mutant in chosen:
            changed(mutant, ROOT)
    except Stale as error:
        print(error)
        return 2
    unknown = set(asked) - {mutant.name for mutant in chosen}
    if unknown:
        print(f"cannot find {', '.join(sorted(unknown))} in tests/mutants")
        return 2
    with tempfile.TemporaryDirectory(prefix="volant-mutants-") as directory:
        clean = Path(directory) / "clean"
        copy_tree(ROOT, clean)
        verdicts = _verdicts(chosen, clean, Path(directory))
    if verdicts is None:
        return 2
    killed = sum(verdict.killer is not None for verdict in verdicts)
    print(f"mutants: {killed} of {len(chosen)} killed, {time.monotonic() - began:.0f} s")
    return 0 if killed == len(chosen) else 1


def _verdicts(chosen: Sequence[Mutant], clean: Path, scratch: Path) -> list[Verdict] | None:
    """What became of each; None when the gates are red without any of them."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # In as many parts as run at once: each gate once, whoever shares it.
        gates = sorted({gate for mutant in chosen for gate in mutant.gates})
        parts = [gates[at::AT_ONCE] for at in range(min(AT_ONCE, len(gates)))]
        for healthy in pool.map(lambda part: run(clean, part, AT_ONCE * GATE_S), parts):
            if healthy.status != PASSED:
                print(f"cannot judge by gates that are not green without a mutant:\n{healthy.said[-4000:]}")
                return None
        print(f"{'mutant':34}{'seconds':>8}  killed by")
        verdicts = []
        for verdict in pool.map(lambda mutant: tried(mutant, clean, scratch), chosen):
            verdicts.append(verdict)
            trouble = f"   ({verdict.trouble})" if verdict.trouble else ""
            killer = verdict.killer or "NOBODY"
            print(f"{verdict.mutant.name:34}{verdict.seconds:8.1f}  {killer}{trouble}", flush=True)
        return verdicts


def table(chosen: Sequence[Mutant]) -> str:
    """The table of the README."""
    rows = ["| mutant | what is wrong | breaks | killed by |", "|---|---|---|---|"]
    for mutant in chosen:
        gates = "<br>".join(f"`{gate.removeprefix('tests/')}`" for gate in mutant.gates)
        rows.append(f"| {mutant.name} | {mutant.bug} | {' '.join(mutant.breaks)} | {gates} |")
    return "\n".join(rows)


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print(table(mutants()))
    else:
        sys.exit(main(sys.argv[1:]))
