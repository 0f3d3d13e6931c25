"""Stories: the last turns of a key, bounded in every direction."""

from __future__ import annotations

from volant.reconcile import Stories, Turn


def test_a_story_keeps_the_last_turns() -> None:
    stories: Stories[str] = Stories(turns=3)
    for number in range(10):
        stories.tell("a", float(number), "reconcile", f"outcome {number}")
    assert [turn.outcome for turn in stories.of("a")] == ["outcome 7", "outcome 8", "outcome 9"]


def test_equal_turns_in_a_row_are_one() -> None:
    """An hour of quiet resyncs does not push out what happened before it."""
    stories: Stories[str] = Stories(turns=3)
    stories.tell("a", 0.0, "launch", "done")
    for number in range(100):
        stories.tell("a", 1.0 + number, "reconcile", "done")
    assert stories.of("a") == (Turn(0.0, "launch", "done"), Turn(100.0, "reconcile", "done", 100))


def test_the_keys_told_of_last_are_kept() -> None:
    stories: Stories[int] = Stories(keys=100)
    for key in range(150):
        stories.tell(key, 0.0, "reconcile", "done")
        if key < 120:
            stories.tell(0, 0.0, "reconcile", "done")
    assert [key for key in range(150) if stories.of(key)] == [0, *range(51, 150)]
    assert stories.of(0)[0].times == 121


def test_a_story_reads_as_text() -> None:
    stories: Stories[str] = Stories()
    stories.tell("a", 1_700_000_000.0, "launch", "failed: DriverUnavailable: cannot start")
    stories.tell("a", 1_700_000_001.5, "reconcile", "done")
    stories.tell("a", 1_700_000_002.0, "reconcile", "done")
    assert stories.text("a").splitlines() == [
        "the story of a:",
        "  2023-11-14T22:13:20Z launch: failed: DriverUnavailable: cannot start",
        "  2023-11-14T22:13:22Z reconcile: done (x2)",
    ]
    assert "nothing is known" in stories.text("b")
