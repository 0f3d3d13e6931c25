"""What of a config its running guest was not told. Pure.

Resources and network make the guest what it is. `cloud_init` and `env` have to be handed to it, and no driver does that
yet: they are kept, shown and counted as a change, and a condition of the VM says that the guest does not know them.
It speaks of the guest that runs: there is none without one, nor where there is nothing to hand over.
"""

from __future__ import annotations

from volant.clock import Instant
from volant.model.conditions import Condition, Conditions, merge_condition
from volant.model.vm import CloudInit, VMConfig

DELIVERED = "config_delivered"
NOT_DELIVERED = "NotDelivered"


def with_delivery(conditions: Conditions, config: VMConfig, generation: int, now: Instant) -> Conditions:
    """`conditions` of a VM whose guest was booted with `config`."""
    missing = [name for name, is_said in _said(config).items() if is_said]
    if not missing:
        return without_delivery(conditions)
    said = Condition(
        type=DELIVERED,
        status="false",
        reason=NOT_DELIVERED,
        message=f"the guest was not told its {' and '.join(missing)}: this version has no way to hand them over",
        observed_generation=generation,
    )
    return merge_condition(conditions, said, now)


def without_delivery(conditions: Conditions) -> Conditions:
    """`conditions` of a VM without a guest."""
    return tuple(c for c in conditions if c.type != DELIVERED)


def _said(config: VMConfig) -> dict[str, bool]:
    return {"cloud_init": _says_something(config.cloud_init), "env": bool(config.env)}


def _says_something(told: CloudInit | None) -> bool:
    return told is not None and told.enabled and any((told.user_data, told.meta_data, told.network_config))
