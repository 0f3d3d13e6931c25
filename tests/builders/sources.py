"""What the source itself says, read without running it: the error codes that callers can get.

`CODES` is written for people; what stands here is read off the code, so that the one can be compared with the other.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import get_args

from volant import errors
from volant.errors import RequestError, Unavailable, VolantError, snake_case
from volant.model.meta import Kind

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "volant"
KINDS = [kind.lower() for kind in get_args(Kind) if kind != "Sync"]
"""Those that requests make; a sync is of the settings, and has its one code written out."""
ANSWERED = {
    name: cls
    for name, cls in vars(errors).items()
    if isinstance(cls, type) and issubclass(cls, (RequestError, Unavailable)) and cls is not RequestError
}
"""The classes that the API answers as they are; every other error is `internal`."""


def trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every parsed file below the folders of `src/volant` (all of it without any), with its path."""
    for folder in folders or ("",):
        for file in sorted((SOURCE / folder).rglob("*.py")):
            yield file, ast.parse(file.read_text())


def answered_codes() -> dict[str, set[int]]:
    """Every error code that can reach a caller, with the statuses it comes with."""
    own = {name: _own_codes(cls) for name, cls in ANSWERED.items()}
    statuses = {name: cls.status for name, cls in ANSWERED.items()} | {"OutOfReach": errors.Conflict.status}
    found: dict[str, set[int]] = {"internal": {VolantError.status}}
    for file, tree in trees():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in statuses:
                given = _argument(call, "code")
                codes = own[call.func.id] if given is None else words(given, file)
                for code in codes:
                    found.setdefault(code, set()).add(statuses[call.func.id])
    return found


def words(text: ast.expr, file: Path) -> set[str]:
    """What an expression can be: a literal, one of two, or an f-string over the kinds.

    Nothing for an attribute, which hands on what is written elsewhere (`verdict.code`). A name is refused, because a
    code that is written where it is raised can be found by whoever gets it.
    """
    if isinstance(text, ast.Attribute):
        return set()
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        return {text.value}
    if isinstance(text, ast.IfExp):
        return words(text.body, file) | words(text.orelse, file)
    if isinstance(text, ast.BoolOp):
        return words(text.values[-1], file)
    assert isinstance(text, ast.JoinedStr), f"{file.name}:{text.lineno}: a code is written out where it is raised"
    parts = [[p.value] if isinstance(p, ast.Constant) else KINDS for p in text.values]
    return {"".join(map(str, choice)) for choice in product(*parts)}


_WORD = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")
_ASKED = re.compile(r"[A-Z][a-z]+[A-Z][a-z]*ed")


def reasons(folder: str, pattern: re.Pattern[str] = _WORD) -> set[str]:
    """The CamelCase words that stand alone as a string below a folder: the reasons of conditions and events.

    The fronts of the rooms are left out, because what stands alone there are names of classes.
    """
    found = set()
    for file, tree in trees(folder):
        if file.name != "__init__.py":
            found |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return {word for word in found if pattern.fullmatch(word)} - set(get_args(Kind))


def condition_types(kind: str) -> set[str]:
    """The types of the conditions that a kind's controller reports: constants that it hands to what makes them."""
    found = set()
    for file, tree in trees(f"controllers/{kind}"):
        names = {argument.id for argument in _arguments(tree) if isinstance(argument, ast.Name)}
        module = importlib.import_module(".".join(["volant", *file.relative_to(SOURCE).with_suffix("").parts]))
        found |= {getattr(module, name, None) for name in names if name.isupper()} - {
            kind,
            getattr(module, "FINALIZER", None),
        }
    return {word for word in found if isinstance(word, str) and re.fullmatch(r"[a-z]+(_[a-z]+)*", word)}


def _arguments(tree: ast.AST) -> Iterator[ast.expr]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            yield from call.args
            yield from (keyword.value for keyword in call.keywords)


def asked_reasons() -> set[str]:
    """The reasons that the API gives for its writes: what was asked for, such as `StopRequested`."""
    return reasons("api", _ASKED)


def failures() -> set[str]:
    """The names of the errors that a condition can have as its reason: what drivers and the image cache raise."""
    roots = (errors.DriverError, errors.ArtifactError)
    return {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, roots)}


def _own_codes(cls: type[VolantError]) -> set[str]:
    """The codes of a class that is raised without saying one."""
    definition = next(n for n in _ERRORS.body if isinstance(n, ast.ClassDef) and n.name == cls.__name__)
    for call in ast.walk(definition):
        if isinstance(call, ast.Call) and (given := _argument(call, "code")) is not None:
            return words(given, Path(errors.__file__))
    return {snake_case(cls.__name__)}


def _argument(call: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


_ERRORS = ast.parse((SOURCE / "errors.py").read_text())
