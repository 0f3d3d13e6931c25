"""Readers of the ring against the list of everything that was ever published."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.builders.objects import NOW, uid_of

from volant.bus import Bus, Lagged
from volant.model.event import Committed
from volant.model.meta import Key

RING = 8

steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.lists(st.integers(1, 3), max_size=12)),
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("begin"), st.integers(-12, 3)),
    ),
    max_size=60,
)


def an_event(revision: int) -> Committed:
    return Committed(
        revision=revision,
        type="vm.updated",
        key=Key("VM", "a"),
        uid=uid_of("a"),
        owner=None,
        plugin=None,
        at=NOW,
        data=b"",
        actor="test",
    )


@given(steps)
def test_a_reader_gets_everything_after_its_revision_or_is_told(
    steps: list[tuple[str, list[int] | int]],
) -> None:
    """W1, W2, W6: in order, no gap, no duplicate; what has left the ring is Lagged, whenever that is found out."""
    bus = Bus(ring_events=RING)
    bus.start_at(5)
    everything: list[int] = []
    reader, expected_after = bus.reader(), 5
    for step, what in steps:
        if isinstance(what, list):
            last = bus.last_revision
            batch = [last := last + jump for jump in what]
            bus.publish([an_event(revision) for revision in batch])
            everything += batch
            continue
        in_ring = everything[-RING:]
        if step == "begin":
            after = max(bus.last_revision + what, 0)
            reaches = after >= (in_ring[0] - 1 if in_ring else 5)
            try:
                reader, expected_after = bus.reader(after), after
                assert reaches
            except Lagged:
                assert not reaches
            continue
        missed = [revision for revision in everything if revision > expected_after and revision not in in_ring]
        try:
            taken = [event.revision for event in reader.take(what)]
        except Lagged as lagged:
            assert missed
            assert lagged.details == {"after": expected_after}
            reader, expected_after = bus.reader(), bus.last_revision
            continue
        assert not missed
        due = [revision for revision in everything if revision > expected_after]
        assert taken == due[: len(taken)]
        assert taken or not due
        expected_after = taken[-1] if taken else expected_after
