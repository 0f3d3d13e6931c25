"""What a plugin needs next, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec.structs import replace
from tests.builders.objects import NOW, a_manifest, a_plugin

from volant.controllers.plugin import plan
from volant.controllers.plugin.plan import Fetch, Report, Step
from volant.errors import ArtifactRefused, ArtifactUnavailable
from volant.model.conditions import condition
from volant.model.plugin import READY, Artifact, KernelSource, Plugin, Role, Rootfs, is_complete


def everything(_digest: str) -> bool:
    return True


def nothing(_digest: str) -> bool:
    return False


def step_of(
    plugin: Plugin, has: Callable[[str], bool] = everything, skip: Collection[Role] = (), now: float = NOW
) -> Step | None:
    return plan.next_step(plugin, has, skip, now)


def reported(plugin: Plugin, step: Step | None) -> Plugin:
    assert isinstance(step, Report), step
    return replace(plugin, status=step.status)


def downloading(plugin: Plugin | None = None) -> Plugin:
    plugin = plugin or a_plugin()
    return reported(plugin, step_of(plugin))


def with_artifact(plugin: Plugin, role: Role, artifact: Artifact, now: float = NOW) -> tuple[Plugin, Report]:
    due = plan.report(plugin, {**plan.current(plugin, everything), role: artifact}, now)
    assert due is not None
    return replace(plugin, status=due.status), due


KERNEL = a_manifest().sources()["kernel"]
INITRAMFS = a_manifest().sources()["initramfs"]


def test_the_first_artifact_is_said_to_be_downloading_before_it_is_fetched() -> None:
    """V9: the condition is there from the first report on."""
    plugin = downloading()
    assert {role: a.state for role, a in plugin.status.artifacts.items()} == {
        "kernel": "downloading",
        "initramfs": "pending",
    }
    ready = condition(plugin.status.conditions, READY)
    assert ready is not None
    assert (ready.status, ready.reason) == ("false", "Downloading")
    assert step_of(plugin) == Fetch("kernel", KERNEL)


def test_a_fetch_that_a_crash_interrupted_is_begun_again() -> None:
    """The status says downloading and nobody does: the answer is the same."""
    assert step_of(downloading(), now=NOW + 99) == Fetch("kernel", KERNEL)


def test_the_last_artifact_makes_it_ready() -> None:
    plugin, due = with_artifact(downloading(), "kernel", plan.obtained(KERNEL, "a" * 64, 1))
    assert due.happening.type == "plugin.updated"
    plugin, due = with_artifact(plugin, "initramfs", plan.obtained(INITRAMFS, "b" * 64, 2), NOW + 5)
    assert (due.happening.type, due.happening.actor) == ("plugin.ready", "plugin")
    assert is_complete(plugin)
    assert step_of(plugin) is None


def test_a_ready_plugin_is_at_rest() -> None:
    """L7: once the generation is reported."""
    plugin = a_plugin(ready=True)
    plugin = reported(plugin, step_of(plugin))
    assert step_of(plugin, now=NOW + 99) is None


def test_a_new_generation_of_the_same_artifacts_fetches_nothing() -> None:
    """V6"""
    plugin = a_plugin(ready=True, enabled=False, meta={"generation": 2})
    plugin = reported(plugin, step_of(plugin))
    assert plugin.status.observed_generation == 2
    assert is_complete(plugin)


def test_a_file_that_is_gone_is_said_to_be_missing_before_it_is_fetched_again() -> None:
    """Nobody may boot from it meanwhile."""
    plugin = reported(a_plugin(ready=True), step_of(a_plugin(ready=True), nothing))
    assert not is_complete(plugin)
    assert step_of(plugin, nothing) == Fetch("kernel", KERNEL)


def test_another_url_is_another_artifact() -> None:
    plugin, _ = with_artifact(downloading(), "kernel", plan.obtained(KERNEL, "a" * 64, 1))
    moved = KernelSource(url="http://127.0.0.1:9000/other")
    plugin = replace(plugin, spec=replace(plugin.spec, manifest=a_manifest(kernel=moved)))
    assert plan.current(plugin, everything)["kernel"] == Artifact(url=moved.url)


def test_another_checksum_is_another_artifact() -> None:
    plugin, _ = with_artifact(downloading(), "kernel", plan.obtained(KERNEL, "a" * 64, 1))
    for digest, state in [("a" * 64, "ready"), ("b" * 64, "pending")]:
        source = KernelSource(url=KERNEL.url, checksum=f"sha256:{digest}")
        changed = replace(plugin, spec=replace(plugin.spec, manifest=a_manifest(kernel=source)))
        assert plan.current(changed, everything)["kernel"].state == state


def test_an_artifact_that_is_no_longer_asked_for_is_dropped() -> None:
    plugin = a_plugin(ready=True)
    old = {**plugin.status.artifacts, "rootfs": Artifact(state="error", reason="ArtifactRefused", message="cannot")}
    plugin = replace(plugin, status=replace(plugin.status, artifacts=old))
    plugin = reported(plugin, step_of(plugin))
    assert set(plugin.status.artifacts) == {"kernel", "initramfs"}


def test_what_went_wrong_is_told_by_its_class() -> None:
    error = ArtifactRefused("cannot use http://127.0.0.1:9000/vmlinuz: its digest is another")
    plugin, due = with_artifact(downloading(), "kernel", plan.failed(Artifact(), KERNEL, error))
    assert (due.happening.type, due.happening.reason) == ("plugin.error", "ArtifactRefused")
    ready = condition(plugin.status.conditions, READY)
    assert ready is not None
    assert ready.message == f"kernel: {error.message}"


def test_an_artifact_in_error_stays_so_while_it_is_tried_again() -> None:
    """L7: going back to downloading would be two events an attempt."""
    error = ArtifactUnavailable("cannot fetch: no answer")
    plugin, _ = with_artifact(downloading(), "kernel", plan.failed(Artifact(), KERNEL, error))
    assert step_of(plugin) == Fetch("kernel", KERNEL)


def test_the_same_failure_with_other_figures_is_the_same_failure() -> None:
    """V10"""
    first = plan.failed(Artifact(), KERNEL, ArtifactUnavailable("cannot fetch: it ended after 17 of 99 bytes"))
    assert plan.failed(first, KERNEL, ArtifactUnavailable("cannot fetch: it ended after 23 of 99 bytes")) == first


def test_another_failure_is_told() -> None:
    first = plan.failed(Artifact(), KERNEL, ArtifactUnavailable("cannot fetch: no answer"))
    for error in (ArtifactUnavailable("cannot fetch: not found"), ArtifactRefused("cannot fetch: no answer")):
        told = plan.failed(first, KERNEL, error)
        assert (told.reason, told.message) == (error.reason, error.message)


def test_a_second_artifact_in_trouble_does_not_change_who_speaks() -> None:
    """L7: two that fail in turn would otherwise contradict each other for ever."""
    plugin, _ = with_artifact(
        downloading(), "kernel", plan.failed(Artifact(), KERNEL, ArtifactUnavailable("cannot fetch: no answer"))
    )
    refused = plan.failed(Artifact(), INITRAMFS, ArtifactRefused("cannot use it"))
    both, due = with_artifact(plugin, "initramfs", refused)
    assert due.happening.type == "plugin.updated"
    assert both.status.conditions == plugin.status.conditions


def test_what_is_skipped_does_not_stop_the_others() -> None:
    plugin, _ = with_artifact(
        downloading(), "kernel", plan.failed(Artifact(), KERNEL, ArtifactRefused("cannot use it"))
    )
    plugin = reported(plugin, step_of(plugin, skip={"kernel"}))
    assert step_of(plugin, skip={"kernel"}) == Fetch("initramfs", INITRAMFS)
    assert step_of(plugin, skip={"kernel", "initramfs"}) is None


def test_a_recovery_is_an_event() -> None:
    """V8: `last_update` moves when the condition does."""
    plugin, _ = with_artifact(
        downloading(), "kernel", plan.failed(Artifact(), KERNEL, ArtifactRefused("cannot use it")), NOW + 1
    )
    plugin, _ = with_artifact(plugin, "initramfs", plan.obtained(INITRAMFS, "b" * 64, 2), NOW + 2)
    plugin, due = with_artifact(plugin, "kernel", plan.obtained(KERNEL, "a" * 64, 1), NOW + 3)
    assert due.happening.type == "plugin.ready"
    ready = condition(plugin.status.conditions, READY)
    assert ready is not None
    assert (ready.status, ready.last_update) == ("true", NOW + 3)


def test_a_rootfs_alone_is_a_plugin() -> None:
    rootfs = Rootfs(url="http://127.0.0.1:9000/disk.qcow2", format="qcow2")
    manifest = replace(a_manifest(), kernel=None, initramfs=None, rootfs=rootfs)
    plugin = downloading(a_plugin(manifest=manifest))
    assert isinstance(step_of(plugin), Fetch)
