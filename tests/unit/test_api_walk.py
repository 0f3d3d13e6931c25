"""A walk meets everything, a stretch at a time, whatever its rows come in and whatever goes meanwhile."""

from __future__ import annotations

from itertools import count

import pytest
from tests.builders.objects import a_vm

from volant.api.walk import SLICE, Fresh, Item, Walk
from volant.model.objects import Object
from volant.model.vm import VM
from volant.store import Position


class Rows:
    """A source of so many VMs, a few at a time, of which some go after their row was read."""

    def __init__(self, total: int, piece: int, gone: frozenset[int] = frozenset()) -> None:
        self._left = list(range(total))
        self._piece = piece
        self._gone = gone
        self.fetched: list[int] = []

    def fetch(self, count: int) -> tuple[list[tuple[Position, int]], bool]:
        """A piece, however many are asked for."""
        taken, self._left = self._left[: min(count, self._piece)], self._left[min(count, self._piece) :]
        self.fetched.append(len(taken))
        return [(number, number) for number in taken], not self._left

    def read(self, position: Position) -> Object | None:
        """The VM there."""
        return None if position in self._gone else a_vm(f"vm-{position}")


class Full:
    """A shelf that has everything."""

    per_turn = 1000

    def at(self, revision: int) -> Item[VM] | None:
        """The VM of that revision."""
        return Fresh[VM](lambda _: b"{}").keep(a_vm(f"vm-{revision}"))

    def keep(self, obj: VM) -> Item[VM]:
        """Never asked to."""
        raise AssertionError(obj)


def _walked(walk: Walk[VM]) -> tuple[list[Position], int]:
    for stretches in count(1):
        walk.stretch()
        if walk.is_done:
            return [position for position, _ in walk.found], stretches
    raise AssertionError


def _fresh() -> Fresh[VM]:
    return Fresh(lambda vm: vm.meta.name.encode())


@pytest.mark.parametrize("total", [0, 1, 9, 10, 11, 35])
def test_everything_is_met_once_and_in_order(total: int) -> None:
    assert _walked(Walk(Rows(total, 10), _fresh(), None, None))[0] == list(range(total))


def test_a_stretch_reads_no_more_than_a_slice() -> None:
    found, stretches = _walked(Walk(Rows(SLICE * 3 + 1, 10_000), _fresh(), None, None))
    assert found == list(range(SLICE * 3 + 1))
    assert stretches >= 4


def test_what_is_at_hand_is_not_read() -> None:
    found, stretches = _walked(Walk(Rows(SLICE * 3, 10_000), Full(), None, None))
    assert (len(found), stretches) == (SLICE * 3, 1)


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_what_goes_on_the_way_is_made_up_for(piece: int) -> None:
    """A page is full as long as there is something to fill it with."""
    gone = frozenset({0, 2, 3, 7})
    assert _walked(Walk(Rows(12, piece, gone), _fresh(), None, 5))[0] == [1, 4, 5, 6, 8]
    assert _walked(Walk(Rows(9, piece, gone), _fresh(), None, 50))[0] == [1, 4, 5, 6, 8]


def test_only_what_is_wanted_is_found_and_counted() -> None:
    def is_even(vm: VM) -> bool:
        return int(vm.meta.name.removeprefix("vm-")) % 2 == 0

    assert _walked(Walk(Rows(30, 4), _fresh(), is_even, 6))[0] == [0, 2, 4, 6, 8, 10]
    assert len(_walked(Walk(Rows(30, 4), _fresh(), is_even, None))[0]) == 15


def test_no_more_rows_are_fetched_than_can_be_shown() -> None:
    rows = Rows(1000, 1000)
    _walked(Walk(rows, _fresh(), None, 11))
    assert rows.fetched == [11]
