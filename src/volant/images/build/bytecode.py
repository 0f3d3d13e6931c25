"""Python programs of an image, compiled beforehand by the image's own Python.

    Tree ──stage──▶ directory ──python3 -m compileall──▶ __pycache__/*.pyc ──▶ Tree

Packages leave compiling to their scripts, which do not run here; without it a guest compiles the standard library at
every start. The files are not checked against their sources (PEP 552), because those do not change in an image. This is
the one time that a program of an image runs on the host: Debian's Python, which apt has checked, as whoever builds.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from volant.errors import ArtifactRefused, StartupError
from volant.images.build.ext4 import stage
from volant.images.build.tools import last_words, run
from volant.images.build.tree import Tree, a_file

PYTHON: Final = "usr/bin/python3"
LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
LOADER: Final = f"{LIBRARIES}/ld-linux-x86-64.so.2"
_COMPILE: Final = ("-S", "-s", "-B", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-i", "-")


def put_bytecode(tree: Tree, scratch: Path, epoch: int) -> None:
    """Have a .pyc for every .py of the tree that compiles. Raises ArtifactRefused when the tree has no Python."""
    if tree.find(PYTHON) is None or tree.find(LOADER) is None:
        raise ArtifactRefused("cannot compile Python programs: the image has no python3. See /image/python_bytecode")
    root = scratch / "python"
    stage(tree, root, epoch)
    programs = [path for path, node in tree.items() if path.endswith(".py") and not node.is_link]
    _compile(root, programs)
    for path in programs:
        folder, _, name = path.rpartition("/")
        for made in sorted((root / folder / "__pycache__").glob(f"{name.removesuffix('.py')}.*.pyc")):
            tree.put(f"{folder}/__pycache__/{made.name}", a_file(made.read_bytes()))
    shutil.rmtree(root)


def _compile(root: Path, programs: list[str]) -> None:
    loader = root / LOADER
    loader.chmod(0o700)
    # The loader itself is run, because the interpreter asks for one by a path that is the host's here.
    command: list[str | Path] = [
        loader,
        "--library-path",
        root / LIBRARIES,
        root / PYTHON,
        *_COMPILE,
        "-s",
        root,
        "-p",
        "/",
    ]
    given = "".join(f"{root / program}\n" for program in programs)
    # A fixed seed, because sets among constants stand in the order of their hashes.
    done = run(command, env={"PYTHONHOME": str(root / "usr"), "PYTHONHASHSEED": "0"}, given=given)
    # Status 1 says that some program does not compile: templates and examples of other versions do not.
    if done.returncode not in (0, 1) or "Error" in done.stderr:
        raise StartupError(f"cannot compile Python programs of the image: {last_words(done.stderr)}")
