"""Matching, estimates, sharing of seats: decisions without a server."""

import random

import pytest

from tiphys.api import flowcontrol_v1 as v1
from tiphys.apiserver.flowcontrol import borrowing, estimation, matching
from tiphys.apiserver.flowcontrol.borrowing import Demand, Limits, Wish
from tiphys.apiserver.flowcontrol.fairness import hand
from tiphys.apiserver.flowcontrol.retry import RetryAfter
from tiphys.apiserver.seams import Attributes
from tiphys.resources.flowcontrol import mandatory as defaults
from tiphys.wire.exchange import UserInfo

AUTHENTICATED = ("system:authenticated",)
JANE = UserInfo("jane", groups=AUTHENTICATED)
ROOT = UserInfo("root", groups=("system:masters", *AUTHENTICATED))
NODE = UserInfo("system:node:n1", groups=("system:nodes", *AUTHENTICATED))
CONTROLLERS = UserInfo("system:kube-controller-manager", groups=AUTHENTICATED)
DNS = UserInfo("system:serviceaccount:kube-system:dns", groups=("system:serviceaccounts", *AUTHENTICATED))
APP = UserInfo("system:serviceaccount:prod:app", groups=("system:serviceaccounts", *AUTHENTICATED))
STRANGER = UserInfo("system:anonymous", groups=("system:unauthenticated",))


def asked(verb: str, resource: str, group: str = "", namespace: str = "n") -> Attributes:
    plural, _, sub = resource.partition("/")
    return Attributes(verb, "", JANE, True, group, "v1", plural, sub, namespace)


@pytest.mark.parametrize(
    ("user", "request_", "schema"),
    [
        (ROOT, asked("get", "pods"), "exempt"),
        (JANE, Attributes("get", "/healthz"), "probes"),
        (STRANGER, Attributes("get", "/livez"), "probes"),
        (JANE, Attributes("get", "/livez/ping"), "global-default"),
        (CONTROLLERS, asked("update", "leases", "coordination.k8s.io", "kube-system"), "system-leader-election"),
        (CONTROLLERS, asked("update", "endpoints"), "endpoint-controller"),
        (CONTROLLERS, asked("list", "endpoints"), "kube-controller-manager"),
        (NODE, asked("patch", "nodes/status", namespace=""), "system-node-high"),
        (NODE, asked("update", "leases", "coordination.k8s.io"), "system-node-high"),
        (NODE, asked("get", "pods"), "system-nodes"),
        (DNS, asked("list", "services", namespace=""), "kube-system-service-accounts"),
        (APP, asked("list", "pods"), "service-accounts"),
        (JANE, asked("list", "pods"), "global-default"),
        (UserInfo("nobody"), asked("list", "pods"), None),
    ],
)
def test_default_schemas(user: UserInfo, request_: Attributes, schema: str | None) -> None:
    found = (each for each in matching.ordered(defaults.schemas()) if matching.matches(each, user, request_))
    first = next(found, None)
    assert (first and first.metadata.name) == schema


def test_schemas_are_ordered_by_precedence_then_name() -> None:
    names = [each.metadata.name for each in matching.ordered(defaults.schemas())]
    assert names[:3] == ["exempt", "probes", "system-leader-election"] and names[-1] == "catch-all"
    assert names.index("kube-controller-manager") < names.index("kube-scheduler")


@pytest.mark.parametrize(
    ("rule", "verb", "resource", "namespace", "matched"),
    [
        ({"namespaces": ["n"]}, "get", "pods", "n", True),
        ({"namespaces": ["m"]}, "get", "pods", "n", False),
        ({"namespaces": ["n"]}, "get", "pods", "", False),
        ({"clusterScope": True}, "get", "nodes", "", True),
        ({"clusterScope": True}, "get", "pods", "n", False),
        ({"namespaces": ["*"], "resources": ["pods"]}, "get", "pods/log", "n", False),
        ({"namespaces": ["*"], "resources": ["pods/log"]}, "get", "pods/log", "n", True),
        ({"namespaces": ["*"], "verbs": ["list"]}, "get", "pods", "n", False),
    ],
)
def test_resource_rules(rule: dict[str, object], verb: str, resource: str, namespace: str, matched: bool) -> None:
    full = v1.ResourcePolicyRule(**{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], **rule})
    subject = v1.Subject(kind="User", user=v1.UserSubject(name="*"))
    rules = [v1.PolicyRulesWithSubjects(subjects=[subject], resourceRules=[full])]
    schema = v1.FlowSchema(spec=v1.FlowSchemaSpec(rules=rules))
    assert matching.matches(schema, JANE, asked(verb, resource, namespace=namespace)) == matched


def test_limits_of_the_default_levels() -> None:
    shares = {
        each.metadata.name: (each.spec.limited.nominalConcurrencyShares, each.spec.limited.lendablePercent, None)
        for each in defaults.levels()
        if each.spec.limited
    }
    found = borrowing.limits(600, shares)
    assert {name: (one.nominal, one.lower) for name, one in found.items()} == {
        "system": (74, 50),
        "node-high": (98, 73),
        "leader-election": (25, 25),
        "workload-high": (98, 49),
        "workload-low": (245, 24),
        "global-default": (49, 24),
        "catch-all": (13, 13),
    }
    assert borrowing.limits(600, {"a": (1, 0, 50), "b": (1, 0, 0)})["a"].upper == 450


def test_demand_is_weighted_by_time() -> None:
    demand = Demand(0.0)
    demand.add(4, 5.0)
    mean, deviation, peak = demand.close(10.0)
    assert (mean, deviation, peak) == (2.0, 2.0, 4)
    assert demand.smooth == 4.0
    demand.add(-4, 10.0)
    demand.close(20.0)
    assert demand.smooth == pytest.approx(0.977 * 4.0), "it falls slowly"


def test_idle_levels_lend_and_busy_ones_borrow() -> None:
    limits = Limits(100, 20, 700)
    seats, _ = borrowing.adjusted(200, {"idle": (limits, 0, 0.0), "busy": (limits, 300, 300.0)})
    assert seats == {"idle": 20, "busy": 180}
    seats, _ = borrowing.adjusted(200, {"a": (limits, 300, 300.0), "b": (limits, 300, 300.0)})
    assert seats == {"a": 100, "b": 100}


def test_sharing_keeps_to_bounds_and_spends_everything() -> None:
    chance = random.Random(1)
    for _ in range(500):
        wishes = []
        for _ in range(chance.randint(1, 8)):
            lower = chance.randint(0, 50)
            wishes.append(Wish(lower, lower + chance.randint(0, 200), chance.choice((0.0, chance.random() * 300))))
        total = chance.randint(0, 600)
        given, _ = borrowing.shared(total, wishes)
        for wish, one in zip(wishes, given, strict=True):
            assert wish.lower - 1e-6 <= one <= wish.upper + 1e-6
        least, most = sum(wish.lower for wish in wishes), sum(wish.upper for wish in wishes)
        assert sum(given) == pytest.approx(min(most, max(least, total)), abs=1e-3)


@pytest.mark.parametrize(
    ("stored", "limit", "selective", "seats"),
    [(0, 0, False, 1), (100, 0, False, 1), (101, 0, False, 2), (5000, 0, False, 10), (5000, 500, False, 5),
     (5000, 500, True, 10)],
)  # fmt: skip
def test_seats_of_lists(stored: int, limit: int, selective: bool, seats: int) -> None:
    assert estimation.list_seats(stored, limit, selective, 10) == seats


def test_seats_of_changes_grow_with_those_who_watch() -> None:
    assert estimation.change_seats(0, 10) == (0, 0.0)
    assert estimation.change_seats(50, 10) == (5, 0.005)
    seats, seconds = estimation.change_seats(1000, 10)
    assert (seats, seconds) == (10, pytest.approx(0.05)), "beyond the seats it takes longer"
    assert (estimation.seats_max(13), estimation.seats_max(245)) == (2, 10)


def test_hands_are_dealt_without_repeats_and_the_same_each_time() -> None:
    counts = [0] * 64
    for number in range(2000):
        cards = hand(("schema", f"user{number}"), 64, 6)
        assert len(set(cards)) == 6 and cards == hand(("schema", f"user{number}"), 64, 6)
        for card in cards:
            counts[card] += 1
    assert min(counts) > 120 and max(counts) < 260, "evenly"


def test_clients_that_come_back_too_early_are_told_to_wait_longer() -> None:
    retry = RetryAfter()
    seconds = [retry.refused(now / 10) for now in range(400)]
    assert seconds[0] == 1 and max(seconds) > 4
    assert retry.refused(1000.0) == 1
