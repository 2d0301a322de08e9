"""Differences as transactions: however it got there, the kernel holds what the last state asks for."""

import json
import random
from typing import Any

import pytest

from tests.network.kernel import Namespace, host
from tiphys.proxy import skeleton
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.desired import Plan, plan
from tiphys.proxy.kernel import Kernel
from tiphys.proxy.ruleset import Existing, Ruleset
from tiphys.proxy.services import Endpoint, Port, Service

CONFIG = ProxyConfig("test0", "n1")


def random_plan(source: random.Random, name: str) -> Plan | None:
    """Services that share external addresses, with all policies, ports and kinds of endpoints."""
    if source.random() < 0.2:
        return None
    number = int(name[1:])
    ports = tuple(
        Port(f"p{each}", source.choice(["TCP", "UDP", "SCTP"]), 80 + each, 30000 + number * 10 + each)
        for each in range(source.randint(0, 3))
    )
    service = Service(
        "default", name, f"10.96.0.{number + 1}", ports,
        external_ips=("203.0.113.1",) if source.random() < 0.5 else (),
        load_balancer_ips=("203.0.113.2",) if source.random() < 0.5 else (),
        source_ranges=source.choice([(), ("10.0.0.0/8",), ("0.0.0.0/0",)]),
        internal_local=source.random() < 0.3, external_local=source.random() < 0.3,
        affinity_seconds=source.choice([0, 0, 60]), health_check_node_port=0,
    )  # fmt: skip
    endpoints = {
        (port.name, port.protocol): tuple(
            Endpoint(f"10.244.0.{each}", 8080, local=each % 2 == 0, ready=source.random() < 0.7,
                     terminating=source.random() < 0.5)
            for each in sorted(source.sample(range(2, 9), source.randint(0, 4)))
        )
        for port in ports
    }  # fmt: skip
    return plan(service, endpoints, CONFIG)


def table(node: Namespace) -> list[str]:
    """What the kernel holds, in an order of ours and without its handles."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items() if key not in ("handle", "index")}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return value

    found = []
    for item in json.loads(node.run("nft", "-j", "list", "table", "ip", CONFIG.table))["nftables"]:
        shown = plain(item)
        for kind in ("set", "map"):
            if kind in shown and "elem" in shown[kind]:
                shown[kind]["elem"] = sorted(json.dumps(each) for each in shown[kind]["elem"])
        found.append(json.dumps(shown, sort_keys=True))
    return sorted(found)


@pytest.mark.root
@pytest.mark.parametrize("seed", range(4))
def test_any_way_leads_to_the_same_rules(seed: int) -> None:
    source = random.Random(seed)
    names = [f"s{number}" for number in range(6)]
    with host() as node:
        kernel = Kernel(CONFIG.table)
        ruleset = Ruleset(CONFIG)
        kernel.commit(ruleset.rebuild({}, Existing()))
        for _ in range(25):
            changed = {name: random_plan(source, name) for name in source.sample(names, source.randint(1, 3))}
            kernel.commit(ruleset.update(changed))
        # A shared element belongs to who claimed it first, so the second way claims in that order.
        held = dict(ruleset.plans)
        by_updates = table(node)
        shared = [element for element, claims in ruleset._claims.items() if len(claims) > 1]
        kernel.commit(Ruleset(CONFIG).rebuild(held, kernel.existing()))
        by_rebuild = table(node)
        if not [name for name, _ in shared if name != skeleton.HAIRPINS.name]:
            assert by_rebuild == by_updates
        assert len(by_rebuild) == len(by_updates)
        again = Ruleset(CONFIG)
        kernel.commit(again.rebuild({}, kernel.existing()))
        empty = table(node)
        kernel.commit(ruleset.rebuild(held, kernel.existing()))
        kernel.commit(ruleset.update(dict.fromkeys(names)))
        assert table(node) == empty, "removed Services leave something behind"
        kernel.close()


def test_nothing_changed_is_no_transaction() -> None:
    ruleset = Ruleset(CONFIG)
    source = random.Random(1)
    plans = {name: random_plan(source, name) for name in ("s1", "s2", "s3", "s4")}
    assert len(ruleset.update(plans)) > 0
    assert len(ruleset.update(plans)) == 0
    assert len(ruleset.update(dict.fromkeys(plans))) > 0
    assert len(ruleset.update(dict.fromkeys(plans))) == 0


@pytest.mark.root
def test_the_first_to_claim_an_address_keeps_it() -> None:
    ruleset = Ruleset(CONFIG)

    def claim(name: str) -> Plan:
        service = Service("default", name, f"10.96.0.{len(name)}", (Port("", "TCP", 80, 0),), ("203.0.113.1",))
        return plan(service, {("", "TCP"): (Endpoint("10.244.0.2", 80),)}, CONFIG)

    with host() as node:
        kernel = Kernel(CONFIG.table)
        kernel.commit(ruleset.rebuild({}, Existing()))

        def holder() -> str:
            listed = node.run("nft", "list", "map", "ip", CONFIG.table, "services")
            [line] = [each for each in listed.split(",") if "203.0.113.1" in each]
            return line.split("default/")[1].split("/")[0]

        kernel.commit(ruleset.update({"bb": claim("bb")}))
        kernel.commit(ruleset.update({"a": claim("a")}))
        assert holder() == "bb"
        kernel.commit(ruleset.update({"bb": None}))
        assert holder() == "a"
        kernel.close()
