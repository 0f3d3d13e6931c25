"""What would come of an apply, as lines: `volant plan`.

    at 0 s          deployment/api changed
    at 0 s          13 of api created: api-51 to api-63
    at 5.1 s        13 of api ready: api-51 to api-63
    ...
    deployment/api: never fewer than 50 ready (50 before, 50 after)
    done after 29.8 s
    guests of hello: 5.1 s until ready (median of 20 seen), 2 s to stop (assumed: none was seen)

What happens to many replicas at once is one line. When there are too many lines even so, each deployment has one for
each slice of the time, that says how many of what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from volant.cli.planned import named
from volant.cli.terminal import plain
from volant.model.timeline import PluginPace, Step, Timeline

MOST = 24
"""Lines of steps."""
SLICES = 12
WIDTH = 16
"""Of the column of times."""

_BOUNDS = {
    "time": "as far as a forecast looks ahead",
    "steps": "as many steps as a forecast tells of",
    "work": "as much work as a forecast may be",
}


def lines(timeline: Timeline) -> Iterator[str]:
    """The steps, what was reached, and where the figures come from."""
    if not timeline.steps:
        yield "Nothing would happen" if timeline.end == "settled" else "Nothing would happen any more"
    else:
        yield "What would happen"
        grouped = list(_at_once(timeline.steps))
        told = grouped if len(grouped) <= MOST else list(_sliced(timeline))
        yield from (f"  {at:<{WIDTH}}{what}" for at, what in told)
    yield from _reached(timeline)
    yield from (_pace(one) for one in timeline.pace)


def _at_once(steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """Steps of one kind at one time, whatever stands between them."""
    found: dict[tuple[float, str | None, str, str], list[str]] = {}
    for step in steps:
        found.setdefault((step.at_s, step.of, "" if step.of else step.kind, step.what), []).append(step.name)
    for (at_s, of, kind, what), names in found.items():
        at = f"at {_seconds(at_s)}"
        if of is None:
            yield from ((at, f"{named(kind, name)} {what}") for name in names)
        elif len(names) == 1:
            yield at, f"vm/{plain(names[0])} {what}"
        else:
            yield at, f"{len(names)} of {plain(of)} {what}: {_names(names)}"


def _sliced(timeline: Timeline) -> Iterator[tuple[str, str]]:
    """Counts, slice by slice. A step of what is no replica stands for itself."""
    span = max(timeline.total_s / SLICES, 0.001)
    counts: dict[tuple[int, str], Counter[str]] = {}
    alone: dict[int, list[Step]] = {}
    for step in timeline.steps:
        number = min(int(step.at_s / span), SLICES - 1)
        if step.of is None:
            alone.setdefault(number, []).append(step)
        else:
            counts.setdefault((number, step.of), Counter())[step.what] += 1
    for number in range(SLICES):
        if len(alone.get(number, ())) > MOST:
            told = Counter((one.kind, one.what) for one in alone[number])
            at = f"to {_seconds((number + 1) * span)}"
            yield from ((at, f"{count} {kind.lower()}s {what}") for (kind, what), count in told.items())
        else:
            yield from (
                (f"at {_seconds(one.at_s)}", f"{named(one.kind, one.name)} {one.what}") for one in alone.get(number, ())
            )
        for (at_number, of), counted in counts.items():
            if at_number == number:
                said = ", ".join(f"{count} {what}" for what, count in counted.items())
                yield f"to {_seconds((number + 1) * span)}", f"of {plain(of)}: {said}"


def _reached(timeline: Timeline) -> Iterator[str]:
    for one in timeline.lowest:
        when = f" (at {_seconds(one.at_s)})" if one.ready < one.before else ""
        yield (
            f"deployment/{plain(one.deployment)}: never fewer than {one.ready} ready{when}, "
            f"{one.before} before and {one.after} after"
        )
    if timeline.end == "settled":
        yield f"done after {_seconds(timeline.total_s)}"
    elif timeline.reverted is not None:
        yield f"the set is taken back, which is over after {_seconds(timeline.total_s)}: {plain(timeline.reverted)}"
    elif timeline.bound is not None:
        yield f"not done after {_seconds(timeline.looked_ahead_s)}: that is {_BOUNDS[timeline.bound]}"
    else:
        yield f"nothing more after {_seconds(timeline.total_s)}, and not everything is as asked for"
    for two in timeline.unsettled:
        yield f"  {named(two.kind, two.name)}: {plain(two.reason)}: {plain(two.message)}"


def _pace(one: PluginPace) -> str:
    boot = f"{_seconds(one.boot_s)} until ready ({_source(one.boots)})"
    return f"guests of {plain(one.plugin)}: {boot}, {_seconds(one.stop_s)} to stop ({_source(one.stops)})"


def _source(observed: int) -> str:
    return f"median of {observed} seen" if observed else "assumed: none was seen"


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(plain, names)) if len(names) <= 3 else f"{plain(names[0])} to {plain(names[-1])}"


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{round(seconds, 2):g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
