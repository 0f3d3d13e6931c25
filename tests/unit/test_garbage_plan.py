"""Who is suspect, since when, and for long enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from volant.controllers.garbage.plan import Suspect, due, next_look_s, quarantined, suspects

A, B, FILE = Suspect("uid", "a"), Suspect("uid", "b"), Suspect("digest", "f")


def test_what_is_known_or_referenced_is_not_suspect() -> None:
    """P11"""
    assert suspects(["a", "b"], {"b"}, ["f", "g"], {"g"}) == {A, FILE}


def test_a_suspect_is_held_from_when_it_was_first_seen() -> None:
    held = quarantined({}, {A}, 10.0)
    assert quarantined(held, {A, B}, 20.0) == {A: 10.0, B: 20.0}


def test_who_was_not_seen_is_free_and_starts_anew() -> None:
    held = quarantined({A: 10.0}, set(), 20.0)
    assert held == {}
    assert quarantined(held, {A}, 30.0) == {A: 30.0}


def test_guests_are_due_before_files() -> None:
    """A guest may hold a file of the cache open."""
    assert due({FILE: 0.0, B: 0.0, A: 0.0}, 30.0, 30.0) == [A, B, FILE]


def test_nobody_is_due_before_the_quarantine_is_over() -> None:
    assert due({A: 0.0, B: 0.1}, 30.0, 30.0) == [A]


def test_the_next_look_is_when_the_first_is_due() -> None:
    assert next_look_s({}, 5.0, 30.0) is None
    assert next_look_s({A: 0.0, B: 4.0}, 5.0, 30.0) == 25.0
    assert next_look_s({A: 0.0}, 99.0, 30.0) == 0.0


@given(st.lists(st.sets(st.sampled_from([A, B, FILE]))), st.integers(0, 5))
def test_only_who_was_suspect_all_the_time_is_due(looks: list[set[Suspect]], quarantine: int) -> None:
    """D9: one look that does not find it sets it free."""
    held: dict[Suspect, float] = {}
    for now, seen in enumerate(looks):
        held = quarantined(held, seen, float(now))
        assert set(held) == seen
        for suspect in due(held, float(now), float(quarantine)):
            assert now >= quarantine
            assert all(suspect in look for look in looks[now - quarantine : now + 1])
