"""How long events are kept is what the operator says, of a real daemon."""

from __future__ import annotations

from pathlib import Path

from tests.builders.daemon import daemon

KEEP = 20
STEP = 500
"""How many are dropped at a time."""


def test_as_many_events_are_kept_as_was_asked_for(tmp_path: Path) -> None:
    """W9, W2: every list says from where on there are any; the next daemon has no others, and says so."""
    flags = ("--hypervisor", "simulated", "--event-keep", str(KEEP))
    with daemon(tmp_path / "data", *flags) as first:
        first.post("/plugins", _plugin())
        for number in range(KEEP + STEP):
            first.post("/plugins/p/enabled", {"enabled": bool(number % 2)})
        answer = first.api.get("/vms")
        since, revision = int(answer.headers["volant-events-since"]), int(answer.headers["volant-revision"])
        assert since >= STEP
        assert KEEP <= revision - since < KEEP + STEP
        first.kill()
    with daemon(tmp_path / "data", *flags) as second:
        gone = second.api.get(f"/events?since={since - 1}", headers={"accept": "application/x-ndjson"})
        assert (gone.status_code, gone.json()["details"]) == (410, {"oldest": since})


def _plugin() -> dict[str, object]:
    source = {"url": "file:///nonexistent/file"}
    return {"name": "p", "version": "1", "kernel": source, "initramfs": source}
