"""The seed: the small disk from which a guest learns what it is to be.

    Told ──seed()──▶ ISO with the label cidata
                       user-data, meta-data, network-config   for cloud-init (its NoCloud source)
                       volant/...                             the same, digested for our init, which reads no YAML

The same input gives the same bytes. What users wrote reaches the guest and nothing else: no text of theirs is in an
error, and what cannot be read of the user data is told to the guest, as notes, instead of ending its boot.

Deliberately absent: fetching anything (an `#include` is for the cloud-init of the guest to follow, by the guest's own
network and egress policy), and files of the host: bytes go in, bytes come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from volant.errors import ArtifactRefused
from volant.images.seed import digest, network, plain_yaml
from volant.images.seed.iso import iso
from volant.images.seed.network import Attached
from volant.model.vm import CloudInit

__all__ = ["LABEL", "Attached", "Told", "seed"]

LABEL: Final = "cidata"
NOTHING: Final = "#cloud-config\n{}\n"


@dataclass(frozen=True, slots=True)
class Told:
    """What one guest is told. `instance_id` is the VM's uid: the same over restarts, another one for a clone (E6)."""

    instance_id: str
    hostname: str
    attachment: Attached
    cloud_init: CloudInit | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def seed(told: Told) -> bytes:
    """The disk. Pure, and some milliseconds of work, up to a second for the largest user data.

    Raises ArtifactRefused, without a word of what the user wrote, for meta-data that is no YAML mapping and for a
    network-config that is no YAML or claims an address that is not the VM's own (E4).
    """
    cloud_init = told.cloud_init if told.cloud_init is not None and told.cloud_init.enabled else CloudInit()
    meta_data = _meta_data(told, cloud_init.meta_data)
    ours = digest.digested(cloud_init.user_data or "")
    given = meta_data["local-hostname"]
    hostname = ours.hostname or (given if digest.is_hostname(given) else told.hostname)
    files = {
        "user-data": (cloud_init.user_data or NOTHING).encode("utf-8", "replace"),
        "meta-data": plain_yaml.written(meta_data).encode(),
        "network-config": _network_config(told, cloud_init.network_config).encode("utf-8", "replace"),
        **ours.files(instance_id=told.instance_id, hostname=hostname, env=told.env),
    }
    return iso(files, LABEL)


def _meta_data(told: Told, given: str | None) -> dict[str, Any]:
    ours: dict[str, Any] = {"instance-id": told.instance_id, "local-hostname": told.hostname}
    if given is None:
        return ours
    try:
        theirs = plain_yaml.read(given) or {}
    except ValueError as error:
        raise ArtifactRefused(f"cannot use cloud_init.meta_data: {error}") from None
    if not isinstance(theirs, dict):
        raise ArtifactRefused("cannot use cloud_init.meta_data: a YAML mapping is expected")
    # Ours last: cloud-init does once for each instance what it does once, and who that is does not change by a text.
    return {**ours, **{str(key): value for key, value in theirs.items()}, "instance-id": told.instance_id}


def _network_config(told: Told, given: str | None) -> str:
    if given is None:
        return plain_yaml.written(network.described(told.attachment))
    network.check(given, told.attachment)
    return given
