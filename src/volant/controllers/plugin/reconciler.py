"""One turn of a plugin: fetch what is missing, one artifact after the other, and report each.

    row ──plan.next_step──▶ Fetch ──▶ cache.ensure ──▶ row again ──▶ report
                        └─▶ Report

The row is read again after each fetch, which may take minutes: what it brought is dropped when the manifest has
changed meanwhile, and a fetch that nobody waits for any more is given up.

The memory of what was refused is the only one: a refused artifact would otherwise be fetched again by the event of its
own report. It is lost on restart, which costs one attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from volant.clock import Clock, Uid
from volant.controllers.plugin import plan
from volant.controllers.plugin.plan import ACTOR, Fetch, Report
from volant.controllers.plugin.wanted import while_wanted
from volant.errors import ArtifactError, ArtifactRefused
from volant.model.event import Committed, Happening
from volant.model.meta import Key
from volant.model.plugin import FINALIZER, Artifact, Plugin, Role, Source, parse_checksum
from volant.reconcile import DONE, Again, Outcome
from volant.reconcile.effects import Effects
from volant.store import Store

REFUSED_S = 300.0
"""How long a refused artifact is left alone unless its source changes: time enough to mend what is behind the URL."""

IN_USE_S = 2.0
"""How soon to look again at a plugin that should go while something still uses it."""


class Fetched(Protocol):
    """What the cache says of a file that it holds."""

    @property
    def digest(self) -> str:
        """Its sha256, in hex."""

    @property
    def size_bytes(self) -> int:
        """Its size."""


class ArtifactCache(Protocol):
    """The port to the files: by the digest of their content."""

    async def ensure(self, url: str, checksum: str | None) -> Fetched:
        """Have the file, fetched unless it is there. `checksum`: hex. Raises ArtifactUnavailable, ArtifactRefused."""

    def has(self, digest: str) -> bool:
        """Whether the file is there."""

    def path(self, digest: str) -> Path:
        """Where the file is."""

    async def remove(self, digest: str) -> None:
        """Remove the file. Harmless when it is gone."""


def anything_goes(source: Source, path: Path) -> None:
    """No file is looked into."""


class _Refusal(Struct, frozen=True):
    """One source that was refused, and until when (monotonic) it is not asked again."""

    source: Source
    until: float
    error: ArtifactError


class _Turn:
    """What this turn has done: the roles it is through with, and what went wrong."""

    def __init__(self) -> None:
        self.tried: set[Role] = set()
        self.errors: list[ArtifactError] = []


class PluginReconciler:
    """Brings the artifacts of one plugin into the cache, and takes them out of it with the plugin."""

    gap_s = 0.0
    """Events of other kinds concern no plugin."""

    def __init__(
        self,
        *,
        store: Store,
        cache: ArtifactCache,
        clock: Clock,
        check: Callable[[Source, Path], None] = anything_goes,
        effects: Effects | None = None,
    ) -> None:
        """`check` looks into a file that was fetched; raises ArtifactRefused for one that no VM may be started with."""
        self._store = store
        self._check = check
        self._cache = cache
        self._clock = clock
        self._effects = effects or Effects()
        self._refused: dict[Uid, dict[Role, _Refusal]] = {}

    def concerns(self, event: Committed) -> Iterable[Key]:
        """The plugin that `event` is about, whatever its type (L1)."""
        return (event.key,) if event.key.kind == "Plugin" else ()

    def resync_keys(self) -> Iterable[Key]:
        """Every plugin."""
        return self._store.keys("Plugin")

    def refused_until(self, plugin: Plugin) -> float | None:
        """When (monotonic) refused artifacts of the plugin are asked for again; None when none is left alone."""
        sources, now = plugin.spec.manifest.sources(), self._clock.monotonic()
        refusals = self._refused.get(plugin.meta.uid, {}).items()
        ends = [r.until for role, r in refusals if sources.get(role) == r.source and r.until > now]
        return max(ends, default=None)

    async def reconcile(self, key: Key) -> Outcome:
        """One turn. Raises what stands in the way of an artifact, after it was reported, one worth a retry first."""
        turn = _Turn()
        while (plugin := self._find(key)) is not None:
            if plugin.meta.is_deleting:
                return await self._remove(plugin)
            self._recall(plugin, turn)
            step = plan.next_step(plugin, self._cache.has, turn.tried, self._clock.now())
            if step is None:
                break
            if isinstance(step, Fetch):
                await self._fetch(plugin, step, turn)
            else:
                await self._write(plugin, step)
        if turn.errors:
            raise min(turn.errors, key=lambda error: isinstance(error, ArtifactRefused))
        return DONE

    def _find(self, key: Key) -> Plugin | None:
        plugin = self._store.find(key)
        return plugin if isinstance(plugin, Plugin) else None

    def _recall(self, plugin: Plugin, turn: _Turn) -> None:
        """Leave out of this turn what was refused lately and would be refused again."""
        refusals, now = self._refused.get(plugin.meta.uid, {}), self._clock.monotonic()
        for role, source in plugin.spec.manifest.sources().items():
            refusal = refusals.get(role)
            is_fresh = refusal is not None and refusal.source == source and now < refusal.until
            if refusal is not None and is_fresh and role not in turn.tried:
                turn.tried.add(role)
                turn.errors.append(refusal.error)

    async def _fetch(self, plugin: Plugin, step: Fetch, turn: _Turn) -> None:
        """Have the artifact, or note why not, and report either."""
        turn.tried.add(step.role)  # because a file that vanishes as soon as it is there must not hold the turn for ever
        source = step.source
        try:
            got = await self._effects.act("artifacts.ensure", plugin.meta.uid, lambda: self._ensure(plugin, step))
            if got is not None:
                await self._look_into(plugin, source, got.digest)
        except ArtifactError as error:
            failure = error
            self._note(plugin.meta.uid, step, failure, turn)
            await self._tell(plugin, step, lambda old: plan.failed(old, source, failure))
        else:
            if got is not None:
                digest, size_bytes = got.digest, got.size_bytes
                await self._tell(plugin, step, lambda _: plan.obtained(source, digest, size_bytes))

    async def _ensure(self, plugin: Plugin, step: Fetch) -> Fetched | None:
        url, checksum = step.source.url, step.source.checksum
        hex_digest = parse_checksum(checksum) if checksum is not None else None
        return await while_wanted(
            lambda: self._cache.ensure(url, hex_digest),
            lambda: self._still_wanted(plugin, step) is not None,
            self._clock,
        )

    async def _look_into(self, plugin: Plugin, source: Source, digest: str) -> None:
        """Raises ArtifactRefused, with the file gone again unless it is another's, for one that cannot be used."""
        try:
            self._check(source, self._cache.path(digest))
        except ArtifactRefused:
            others = (other for other in self._store.plugins() if other.meta.uid != plugin.meta.uid)
            if all(digest not in _digests(other) for other in others):
                await self._discard(plugin.meta.uid, digest)
            raise

    def _still_wanted(self, asked_for: Plugin, step: Fetch) -> Plugin | None:
        """The plugin as it is now, if it still waits for what `step` fetches."""
        plugin = self._find(asked_for.meta.key)
        if plugin is None or plugin.meta.uid != asked_for.meta.uid or plugin.meta.is_deleting:
            return None
        return plugin if plugin.spec.manifest.sources().get(step.role) == step.source else None

    def _note(self, uid: Uid, step: Fetch, error: ArtifactError, turn: _Turn) -> None:
        turn.errors.append(error)
        if isinstance(error, ArtifactRefused):
            refusal = _Refusal(step.source, self._clock.monotonic() + REFUSED_S, error)
            self._refused.setdefault(uid, {})[step.role] = refusal

    async def _tell(self, asked_for: Plugin, step: Fetch, change: Callable[[Artifact], Artifact]) -> None:
        """Report what became of a fetch, unless another manifest, or nobody, waits for it by now."""
        plugin = self._still_wanted(asked_for, step)
        if plugin is None:
            return
        artifacts = plan.current(plugin, self._cache.has)
        artifacts[step.role] = change(artifacts[step.role])
        due = plan.report(plugin, artifacts, self._clock.now())
        if due is not None:
            await self._write(plugin, due)

    async def _write(self, plugin: Plugin, due: Report) -> None:
        await self._effects.act(
            "store.update_status",
            plugin.meta.uid,
            lambda: self._store.update_status(plugin, due.status, due.happening),
        )

    async def _remove(self, plugin: Plugin) -> Outcome:
        """Remove the files that nobody else refers to, then let the row go: in this order, so that none is left (D3).

        The API lets no plugin go that is in use; a look costs little, and a guest without its files would not boot.
        """
        name, uid = plugin.meta.name, plugin.meta.uid
        if self._store.count("VM", plugin=name) or self._store.count("Deployment", plugin=name):
            return Again(IN_USE_S)
        for digest in sorted(self._of_nobody_else(plugin)):
            await self._discard(uid, digest)
        gone = Happening(type="plugin.removed", actor=ACTOR)
        if FINALIZER in plugin.meta.finalizers:
            await self._effects.act("store.finalize", uid, lambda: self._store.finalize(plugin, FINALIZER, gone))
        self._refused.pop(uid, None)
        return DONE

    async def _discard(self, uid: Uid, digest: str) -> None:
        self._store.check_epoch()
        await self._effects.act("artifacts.remove", uid, lambda: self._cache.remove(digest))

    def _of_nobody_else(self, plugin: Plugin) -> set[str]:
        others = (other for other in self._store.plugins() if other.meta.uid != plugin.meta.uid)
        return _digests(plugin).difference(*(_digests(other) for other in others))


def _digests(plugin: Plugin) -> set[str]:
    return {artifact.digest for artifact in plugin.status.artifacts.values() if artifact.digest is not None}
