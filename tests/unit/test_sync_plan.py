"""What becomes of a sync after an attempt: which status, which event, and when there is nothing to write."""

from __future__ import annotations

from msgspec.structs import replace
from tests.builders.objects import NOW

from volant.clock import Uid
from volant.controllers.sync.plan import IN_THE_WAY, Applied, Failed, reported
from volant.model.meta import Meta
from volant.model.sync import MAX_ERROR, Sync, SyncSpec, SyncStatus

FIRST = Applied(commit="c1", objects=4, done="+ vm/db", is_drift=False)
NOTHING = Applied(commit="c1", objects=4, done="", is_drift=False)
LATER = NOW + 60


def a_sync(status: SyncStatus | None = None) -> Sync:
    meta = Meta(name="infra", uid=Uid("1" * 32), kind="Sync", created_at=NOW)
    return Sync(meta=meta, spec=SyncSpec(dir="/srv/infra"), status=status or SyncStatus())


def synced() -> Sync:
    return a_sync(reported(a_sync(), FIRST, NOW).status)


def failing() -> Sync:
    return a_sync(reported(synced(), Failed("cannot fetch"), NOW).status)


def test_a_commit_that_was_applied_is_told_with_what_it_changed() -> None:
    report = reported(a_sync(), FIRST, NOW)
    assert (report.event, report.message, report.commit) == ("sync.applied", "+ vm/db", "c1")
    assert (report.status.state, report.status.commit, report.status.applied_at) == ("synced", "c1", NOW)
    assert (report.status.objects, report.status.applies, report.status.drifts) == (4, 1, 0)


def test_a_sync_at_rest_writes_nothing() -> None:
    """L7."""
    sync = synced()
    report = reported(sync, NOTHING, LATER)
    assert (report.event, report.status) == (None, sync.status)


def test_the_same_failure_is_told_once() -> None:
    """V10."""
    sync = failing()
    assert reported(sync, Failed("cannot fetch"), LATER).event is None
    other = reported(sync, Failed("another"), LATER)
    assert (other.event, other.message, other.status.failing_since) == ("sync.failed", "another", NOW)


def test_a_failure_keeps_the_commit_that_is_applied() -> None:
    status = failing().status
    assert (status.state, status.commit, status.error, status.failing_since) == ("failing", "c1", "cannot fetch", NOW)
    assert (status.objects, status.applied_at) == (4, NOW)


def test_what_is_mended_without_a_change_is_in_order_again() -> None:
    report = reported(failing(), NOTHING, LATER)
    assert (report.event, report.status) == ("sync.synced", synced().status)


def test_drift_is_counted_apart() -> None:
    report = reported(synced(), NOTHING._replace(done="+ vm/db", is_drift=True), LATER)
    assert (report.event, report.message) == ("sync.drift", "brought back: + vm/db")
    assert (report.status.applies, report.status.drifts, report.status.drift_at) == (1, 1, LATER)


def test_a_commit_that_changes_nothing_of_the_set_is_news_all_the_same() -> None:
    report = reported(synced(), NOTHING._replace(commit="c2"), LATER)
    assert (report.event, report.status.commit, report.status.applied_at) == ("sync.applied", "c2", LATER)
    assert report.status.applies == 1


def test_what_somebody_else_says_is_no_mistake_of_the_commit() -> None:
    for code in IN_THE_WAY:
        report = reported(synced(), Failed("theirs", code), NOW)
        assert (report.event, report.status.state) == ("sync.out_of_sync", "out_of_sync")
    assert reported(synced(), Failed("wrong", "invalid"), NOW).status.state == "failing"


def test_another_spec_is_reported_of_even_when_nothing_changed() -> None:
    sync = synced()
    again = replace(sync, meta=replace(sync.meta, generation=2))
    assert reported(again, NOTHING, LATER).status.observed_generation == 2


def test_a_long_error_is_cut() -> None:
    error = reported(a_sync(), Failed("x" * 100_000), NOW).status.error
    assert error is not None
    assert len(error) == MAX_ERROR
