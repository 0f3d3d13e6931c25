"""L1: a reconcile receives a key and nothing else, and nobody decides by the type of an event.

Read from the source: controllers and the machinery under them may write events, but may not branch on one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import volant
from volant.model.event import EventType

SOURCE = Path(volant.__file__).parent
ROOMS = ("controllers", "reconcile")
EVENT_TYPES = frozenset(get_args(EventType))
EVENT_TYPE_NAMES = re.compile(r"(^|_)event_(type|kind)$")
EVENT_NAMES = re.compile(r"^(event|committed|news|change)s?$")


def complaints(source: str) -> list[str]:
    """What breaks L1 in a module, as `line: what`."""
    return [f"{node.lineno}: {what}" for node, what in _found(ast.parse(source))]


def _found(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt | ast.pattern, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if EVENT_TYPE_NAMES.search(name):
                yield node, f"reads {name}"
            case ast.Attribute(value=ast.Name(id=name), attr="type") if EVENT_NAMES.match(name):
                yield node, f"reads {name}.type"
            case ast.Attribute(attr=name, ctx=ast.Load()) if EVENT_TYPE_NAMES.search(name):
                yield node, f"reads .{name}"
            case ast.Compare(left=left, comparators=others) if _names_an_event_type(left, *others):
                yield node, "compares with an event type"
            case ast.MatchValue(value=value) if _names_an_event_type(value):
                yield node, "matches an event type"
            case ast.Dict(keys=keys) if _names_an_event_type(*(key for key in keys if key)):
                yield node, "dispatches on an event type"
            case ast.Call(func=ast.Attribute(attr="startswith" | "endswith"), args=args) if _is_event_prefix(*args):
                yield node, "tests the text of an event type"
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kind]) if _mentions_event_class(kind):
                yield node, "asks what class an event is of"
            case ast.FunctionDef(name="reconcile") | ast.AsyncFunctionDef(name="reconcile") if not _takes_a_key(node):
                yield node, "reconcile takes something else than a key"


def _names_an_event_type(*nodes: ast.expr) -> bool:
    constants = [n.value for node in nodes for n in ast.walk(node) if isinstance(n, ast.Constant)]
    return any(isinstance(value, str) and value in EVENT_TYPES for value in constants)


def _is_event_prefix(*nodes: ast.expr) -> bool:
    prefixes = {f"{kind.split('.')[0]}." for kind in EVENT_TYPES} | {f".{kind.split('.')[1]}" for kind in EVENT_TYPES}
    return any(isinstance(node, ast.Constant) and node.value in prefixes for node in nodes)


def _mentions_event_class(node: ast.expr) -> bool:
    names = [
        n.id if isinstance(n, ast.Name) else n.attr for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute)
    ]
    return any(name.endswith("Event") or name == "Committed" for name in names)


def _takes_a_key(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = node.args
    names = [argument.arg for argument in arguments.posonlyargs + arguments.args if argument.arg != "self"]
    return names == ["key"] and not (arguments.kwonlyargs or arguments.vararg or arguments.kwarg)


def modules() -> list[Path]:
    return sorted(path for room in ROOMS for path in (SOURCE / room).rglob("*.py"))


def test_no_controller_branches_on_an_event_type() -> None:
    """L1: no branch on event type anywhere in the rooms that act."""
    found = {str(path.relative_to(SOURCE)): complaints(path.read_text()) for path in modules()}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_the_machinery_is_among_what_is_read() -> None:
    """L1: an empty search would agree with everything."""
    assert {"workqueue.py", "controller.py"} <= {path.name for path in modules()}


@pytest.mark.parametrize(
    "source",
    [
        "if event.type == what: pass",
        "if row['type'] == 'vm.deleted': pass",
        "if kind in ('vm.deleted', 'vm.stopped'): pass",
        "handlers[event.type](key)",
        "handlers = {'vm.created': create, 'vm.deleted': delete}",
        "match thing:\n    case 'vm.created': pass",
        "if event_type: pass",
        "x = self.last_event_type",
        "if kind.startswith('vm.'): pass",
        "if isinstance(news, Committed): pass",
        "async def reconcile(self, key, event): pass",
        "async def reconcile(self, event): pass",
        "def reconcile(key, **why): pass",
    ],
)
def test_a_branch_on_an_event_type_is_found(source: str) -> None:
    """L1: the search finds what it is for."""
    assert complaints(source)


@pytest.mark.parametrize(
    "source",
    [
        "await store.update_status(vm, event='vm.started')",
        "if condition.type == 'ready': pass",
        "event_type = 'vm.started'",
        "for event in batch: controller.add(event.key)",
        "async def reconcile(self, key: Key) -> Outcome: return DONE",
    ],
)
def test_writing_events_and_reading_keys_is_fine(source: str) -> None:
    """L1: events are written by controllers, and name the keys to look at."""
    assert not complaints(source)
