"""Rules of the bridge network, as data: what is wanted, what is there, and what has to be told to nft."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from volant.clock import Uid
from volant.drivers import Attachment, Forward
from volant.drivers.bridge import rules, table
from volant.drivers.bridge.names import mac_of, tap_name
from volant.drivers.bridge.site import EGRESS, PUBLISHED, PUBLISHED_ANYWHERE, TAPS, Site
from volant.drivers.bridge.table import Command, Place, Seen, Wanted
from volant.model.vm import Egress

SITE = Site(table="volant", bridge="volbr0", pool="10.127.0.0/22")
UID = Uid("a" * 32)
TAP = tap_name(UID)
AT_ITSELF = Forward(host_address="10.127.0.5", host_port=80, guest_port=80)
ON_LOOPBACK = Forward(host_address="127.0.0.1", host_port=8080, guest_port=80)
EVERYWHERE = Forward(host_address="0.0.0.0", host_port=8081, guest_port=80)


def an_attachment(*forwards: Forward, uid: Uid = UID, address: str = "10.127.0.5", **more: Any) -> Attachment:
    return Attachment(
        mode="bridge", address=address, mac=mac_of(uid), bridge="volbr0", tap=tap_name(uid), forwards=forwards, **more
    )


def a_vm_of(*forwards: Forward, uid: Uid = UID, site: Site = SITE, **more: Any) -> Wanted:
    return rules.of_vm(site, uid, an_attachment(*forwards, uid=uid, **more))


def after(seen: Seen, *wanted: Wanted) -> Seen:
    """What is there once each was made so."""
    for one in wanted:
        seen = table.applied(seen, table.repair(one, seen, "volant"))
    return seen


def listed(seen: Seen) -> list[dict[str, Any]]:
    """As nft lists it."""
    entries: list[dict[str, Any]] = [{"metainfo": {"version": "1"}}]
    entries += [{"table": {"family": family, "name": "volant"}} for family in sorted(seen.families)]
    for place, elements in seen.maps.items():
        elem = [
            [key[0] if len(key) == 1 else {"concat": list(key)}, {"jump": {"target": to}}]
            for key, to in elements.items()
        ]
        entries.append({"map": {**place._asdict(), "table": "volant", "type": "x", "map": "verdict", "elem": elem}})
    for place, hook in seen.hooks.items():
        entries.append({"chain": {**place._asdict(), "table": "volant", **(hook._asdict() if hook else {})}})
    for place, comments in seen.chains.items():
        said = {"family": place.family, "chain": place.name, "table": "volant"}
        entries += [{"rule": {**said, "comment": comment, "expr": []}} for comment in comments]
    return entries


ALL = after(Seen(), rules.ground(SITE), a_vm_of(AT_ITSELF, ON_LOOPBACK, EVERYWHERE))


def verbs(commands: list[Command]) -> list[tuple[str, str]]:
    return [(verb, kind) for command in commands for verb, what in command.items() for kind in what]


def test_what_was_made_needs_no_repair() -> None:
    assert table.repair(rules.ground(SITE), ALL, "volant") == []
    assert table.repair(a_vm_of(AT_ITSELF, ON_LOOPBACK, EVERYWHERE), ALL, "volant") == []


def test_what_nft_lists_is_read_as_what_was_made() -> None:
    assert table.parse(listed(ALL), "volant") == ALL


def test_tables_of_others_are_not_seen() -> None:
    assert table.parse(listed(ALL), "volant-br7") == Seen()


def test_a_rule_that_lacks_or_is_too_many_or_moved_is_repaired() -> None:
    wanted = rules.ground(SITE)
    place = Place("inet", "from_guests")
    for comments in (
        ALL.chains[place][1:],
        [*ALL.chains[place], "x"],
        ["", *ALL.chains[place]],
        ALL.chains[place][::-1],
        [],
    ):
        harmed = replace(ALL, chains={**ALL.chains, place: comments})
        commands = table.repair(wanted, harmed, "volant")
        assert verbs(commands)[0] == ("flush", "chain")
        assert table.applied(harmed, commands) == ALL


def test_a_base_chain_with_another_policy_or_hook_is_made_anew() -> None:
    place = Place("inet", "input")
    for change in ({"policy": "drop"}, {"prio": 10}):
        entries = listed(ALL)
        for entry in entries:
            if entry.get("chain", {}).get("name") == "input" and entry["chain"]["family"] == "inet":
                entry["chain"] |= change
        harmed = table.parse(entries, "volant")
        commands = table.repair(rules.ground(SITE), harmed, "volant")
        assert verbs(commands) == [("flush", "chain"), ("delete", "chain"), ("add", "chain"), ("add", "rule")]
        assert table.applied(harmed, commands).hooks[place] == ALL.hooks[place]


def test_an_element_that_lacks_is_added_and_one_that_leads_astray_is_replaced() -> None:
    wanted = a_vm_of(AT_ITSELF, ON_LOOPBACK, EVERYWHERE)
    lacking = replace(ALL, maps={**ALL.maps, TAPS: {}})
    assert verbs(table.repair(wanted, lacking, "volant")) == [("add", "element")]
    astray = replace(ALL, maps={**ALL.maps, EGRESS: {("10.127.0.5",): "somewhere"}})
    commands = table.repair(wanted, astray, "volant")
    assert verbs(commands) == [("delete", "element"), ("add", "element")]
    assert table.applied(astray, commands) == ALL


def test_what_is_published_no_more_goes() -> None:
    commands = table.repair(a_vm_of(AT_ITSELF), ALL, "volant")
    now = table.applied(ALL, commands)
    assert (now.maps[PUBLISHED], now.maps[PUBLISHED_ANYWHERE]) == ({}, {})
    assert now == after(Seen(), rules.ground(SITE), a_vm_of(AT_ITSELF))


def test_elements_come_last_and_go_first() -> None:
    """nft refuses an element that leads to no chain, and the end of a chain that something leads to."""
    made = verbs(table.repair(a_vm_of(ON_LOOPBACK), after(Seen(), rules.ground(SITE)), "volant"))
    assert made.index(("add", "element")) > max(at for at, what in enumerate(made) if what == ("add", "rule"))
    gone = verbs(table.removal(UID, (TAP, f"{TAP}p"), ALL, "volant"))
    order = [("delete", "element"), ("flush", "chain"), ("delete", "chain")]
    assert gone == sorted(gone, key=order.index)


def test_removing_a_vm_leaves_the_others_and_the_ground() -> None:
    other = a_vm_of(uid=Uid("b"), address="10.127.0.6")
    both = after(ALL, other)
    left = table.applied(both, table.removal(UID, (TAP, f"{TAP}p"), both, "volant"))
    assert left == after(Seen(), rules.ground(SITE), other)
    assert table.removal(Uid("nobody"), (), left, "volant") == []


def test_chains_whose_rules_were_flushed_by_hand_go_too() -> None:
    harmed = replace(ALL, chains={**ALL.chains, Place("bridge", TAP): []})
    left = table.applied(harmed, table.removal(UID, (TAP, f"{TAP}p"), harmed, "volant"))
    assert left == after(Seen(), rules.ground(SITE))


def test_rules_tell_whose_they_are() -> None:
    assert ALL.uids() == {UID}
    assert set(ALL.of(UID)) == {Place("bridge", TAP), Place("inet", TAP), Place("inet", f"{TAP}p")}


def test_comments_fit_into_the_kernels_limit_and_differ_with_what_is_said() -> None:
    wanted = a_vm_of(ON_LOOPBACK, egress=tuple(f"10.{n}.0.0/16" for n in range(32)), uid=Uid("x" * 64))
    comments = [comment for place in wanted.chains for comment in wanted.comments(place)]
    assert max(len(comment) for comment in comments) < 128
    one, other = a_vm_of(address="10.127.0.5"), a_vm_of(address="10.127.0.6")
    place = Place("bridge", TAP)
    assert one.comments(place) != other.comments(place)


def said(wanted: Wanted) -> str:
    return json.dumps([rule.exprs for chain in wanted.chains.values() for rule in chain.rules])


@pytest.mark.parametrize(
    ("egress", "accepts"),
    [("deny", 0), ("public", 1), ("all", 1), (("10.1.0.0/16", "192.168.1.0/24"), 2), ((), 0)],
)
def test_an_egress_policy_ends_with_what_it_is(egress: Egress, accepts: int) -> None:
    """F2"""
    chain = a_vm_of(egress=egress).chains[Place("inet", TAP)]
    assert sum({"accept": None} in rule.exprs for rule in chain.rules) == accepts
    closes = egress not in ("public", "all")
    assert ({"drop": None} in chain.rules[-1].exprs) is closes


def test_resolvers_may_be_asked_by_all_but_those_who_are_denied() -> None:
    site = replace(SITE, dns=("9.9.9.9",))
    asks = ["9.9.9.9" in said(a_vm_of(egress=egress, site=site)) for egress in ("public", ("10.0.0.0/8",), "deny")]
    assert asks == [True, True, False]


def test_without_ipv6_no_frame_of_it_passes() -> None:
    assert "ip6" not in said(rules.of_vm(SITE, UID, an_attachment()))
    assert "ip6" in said(rules.of_vm(SITE, UID, an_attachment(guest_address6="fd00::5/128")))


def test_one_port_on_two_addresses_is_two_elements() -> None:
    wanted = a_vm_of(ON_LOOPBACK, replace(ON_LOOPBACK, host_address="192.168.7.1"), EVERYWHERE)
    assert wanted.elements[PUBLISHED] == {("127.0.0.1", 8080): f"{TAP}p", ("192.168.7.1", 8080): f"{TAP}p"}
    assert wanted.elements[PUBLISHED_ANYWHERE] == {(8081,): f"{TAP}p"}
