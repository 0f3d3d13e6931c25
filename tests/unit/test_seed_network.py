"""A network-config of a user claims no address but the VM's own (E4)."""

from __future__ import annotations

import pytest
from tests.builders.seeds import a_told, read_back

from volant.drivers import Attachment
from volant.errors import ArtifactRefused
from volant.images.seed import seed

OWN = """
version: 2
ethernets:
  any:
    match: {macaddress: "52:54:00:12:34:56"}
    addresses: [10.127.0.5/22, "fd00::5/64"]
    routes: [{to: 0.0.0.0/0, via: 10.127.0.1}]
    nameservers: {addresses: [8.8.8.8], search: [example]}
"""
OWN_V1 = """
network:
  version: 1
  config:
  - type: physical
    name: eth0
    mac_address: "52:54:00:12:34:56"
    subnets: [{type: static, address: 10.127.0.5, netmask: 255.255.252.0, gateway: 10.127.0.1}]
  - {type: nameserver, address: [8.8.8.8]}
"""
FOREIGN = {
    "address": "version: 2\nethernets: {e: {addresses: [10.127.0.6/22]}}\n",
    "beside the own one": "version: 2\nethernets: {e: {addresses: [10.127.0.5/22, 10.127.0.6/22]}}\n",
    "with options": "version: 2\nethernets: {e: {addresses: [{10.127.0.6/22: {label: x}}]}}\n",
    "six": "version: 2\nethernets: {e: {addresses: ['fd00::6/64']}}\n",
    "mac": "version: 2\nethernets: {e: {macaddress: '52:54:00:00:00:01'}}\n",
    "vlan": "version: 2\nvlans: {v: {id: 1, link: e, addresses: [10.9.9.9/8]}}\n",
    "wrapped": "network: {version: 2, bridges: {b: {addresses: [10.127.0.6/22]}}}\n",
    "version 1": "version: 1\nconfig: [{type: physical, name: e, subnets: [{type: static, address: 10.127.0.6/22}]}]\n",
    "version 1 mac": "version: 1\nconfig: [{type: physical, name: e, mac_address: '52:54:00:00:00:01'}]\n",
    "no address": "version: 2\nethernets: {e: {addresses: [all]}}\n",
    "a number": "version: 2\nethernets: {e: {addresses: [176094214]}}\n",
}


@pytest.mark.parametrize("text", [OWN, OWN_V1, "version: 2\nethernets: {e: {dhcp4: true}}\n", "", "{}"])
def test_a_config_that_claims_only_its_own_is_passed_on_as_it_stands(text: str) -> None:
    """E4."""
    assert read_back(seed(a_told(network_config=text)))["network-config"] == text.encode()


@pytest.mark.parametrize("text", FOREIGN.values(), ids=list(FOREIGN))
def test_a_config_that_claims_a_foreign_address_is_refused(text: str) -> None:
    """E4."""
    with pytest.raises(ArtifactRefused, match=r"^cannot use cloud_init\.network_config: it (claims|names)") as refused:
        seed(a_told(network_config=text))
    assert "10.127.0.6" not in str(refused.value)


@pytest.mark.parametrize("mode", ["dhcp", "none"])
def test_where_the_address_is_not_known_none_may_be_claimed(mode: str) -> None:
    """E4."""
    attachment = Attachment(mode="dhcp" if mode == "dhcp" else "none", mac="52:54:00:12:34:56")
    with pytest.raises(ArtifactRefused):
        seed(a_told(attachment=attachment, network_config=OWN))


@pytest.mark.parametrize("text", ["a: [", "a: !!python/object:os.system x", "\x00"])
def test_a_config_that_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(ArtifactRefused, match=r"^cannot use cloud_init\.network_config: it is not valid YAML"):
        seed(a_told(network_config=text))
