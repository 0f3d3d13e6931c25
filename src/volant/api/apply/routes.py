"""The routes of sets: a part of the route table."""

from __future__ import annotations

from collections.abc import Mapping

from volant.api.apply import handlers as sets
from volant.api.apply import manifests, planning
from volant.api.apply.asked import Apply, SetRollback
from volant.api.front import BASE, Method
from volant.model.apply.exported import ExportedView
from volant.model.apply.outcome import ApplyView, SetView
from volant.model.queries import Applying, Exporting
from volant.model.timeline import PlanView

APPLIED = (
    "field_conflict",
    "object_owned",
    "set_conflict",
    "vm_already_exists",
    "deployment_already_exists",
    "plugin_already_exists",
    "vm_deleting",
    "deployment_deleting",
    "addresses_exhausted",
    "port_taken",
    "kvm_required",
    "plugin_deleting",
    "plugin_disabled",
)
APPLYING = (
    *APPLIED,
    "plan_changed",
    "prune_unconfirmed",
    "plugin_in_use",
    "template_reverted",
    "set_reverted",
)

SETS: Mapping[str, Mapping[str, Method]] = {
    f"{BASE}/apply": {
        "POST": Method(
            sets.apply,
            Applying,
            name="applySet",
            body=Apply,
            gives=ApplyView,
            errors=APPLYING,
        )
    },
    f"{BASE}/plan": {
        "POST": Method(
            planning.plan,
            name="planSet",
            body=Apply,
            gives=PlanView,
            errors=(*APPLYING, "forecast_too_large", "forecast_busy", "forecast_failed"),
        )
    },
    f"{BASE}/manifests": {
        "GET": Method(
            manifests.list_manifests,
            Exporting,
            name="listManifests",
            gives=list[ExportedView],
            errors=("set_not_found",),
        )
    },
    f"{BASE}/sets": {"GET": Method(sets.list_sets, name="listSets", gives=list[SetView])},
    f"{BASE}/sets/{{name}}": {"GET": Method(sets.get_set, name="getSet", gives=SetView)},
    f"{BASE}/sets/{{name}}/restore": {
        "POST": Method(sets.restore, Applying, name="restoreSet", gives=ApplyView, errors=APPLIED)
    },
    f"{BASE}/sets/{{name}}/rollback": {
        "POST": Method(
            sets.roll_back,
            Applying,
            name="rollBackSet",
            body=SetRollback,
            gives=ApplyView,
            errors=(*APPLIED, "no_such_revision", "prune_unconfirmed", "plugin_in_use"),
        )
    },
}
