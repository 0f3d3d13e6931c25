"""The example of a plan: one replica rolls."""

from __future__ import annotations

from volant.model.apply.outcome import ApplyView, Planned
from volant.model.timeline import Lowest, PlanView, PluginPace, Step, Timeline
from volant.model.views import ChangeView

PLAN = PlanView(
    plan=ApplyView(
        set="infra",
        manager="apply",
        dry_run=True,
        token="5e884898da28047151d0e56f8dc62927",  # noqa: S106 -- names a plan
        summary={"create": 0, "update": 1, "delete": 0, "unchanged": 0},
        objects=(
            Planned(
                kind="Deployment",
                name="web",
                action="update",
                uid="0f1e2d3c4b5a69788796a5b4c3d2e1f0",
                generation=2,
                changes={"config.resources.vcpu": ChangeView(old=2, new=4)},
            ),
        ),
    ),
    timeline=Timeline(
        end="settled",
        total_s=3.42,
        looked_ahead_s=3.5,
        steps=(
            Step(at_s=0.0, kind="Deployment", name="web", what="changed"),
            Step(at_s=0.0, kind="VM", name="web-2", what="created", of="web"),
            Step(at_s=1.4, kind="VM", name="web-2", what="started", of="web"),
            Step(at_s=1.4, kind="VM", name="web-2", what="ready", of="web"),
            Step(at_s=1.42, kind="VM", name="web-1", what="stopping", of="web"),
            Step(at_s=1.42, kind="Deployment", name="web", what="complete"),
            Step(at_s=3.42, kind="VM", name="web-1", what="removed", of="web"),
        ),
        lowest=(Lowest(deployment="web", ready=1, at_s=0.0, before=1, after=1),),
        pace=(PluginPace(plugin="user-api", boot_s=1.4, boots=12, stop_s=2.0, stops=0),),
    ),
)
