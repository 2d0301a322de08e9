"""The scheduler's decisions in plain Python: slow, one node and one Pod at a time, obviously right.

Works on dicts as users write them, and shares no code with the scheduler, so
that a mistake has to be made twice to go unnoticed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, log
from typing import Any

HOSTNAME = "kubernetes.io/hostname"
Object = Mapping[str, Any]


@dataclass
class World:
    """Nodes and placed Pods by name; a Pod is placed where its spec's nodeName says."""

    nodes: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    namespaces: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def on(self, node: str) -> list[Object]:
        return [pod for pod in self.pods.values() if pod["spec"]["nodeName"] == node]


def labels(thing: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = thing["metadata"].get("labels", {})
    return found


def priority(pod: Object) -> int:
    return int(pod["spec"].get("priority", 0))


def milli(text: str) -> int:
    return int(text[:-1]) if text.endswith("m") else int(text) * 1000


def requests(pod: Object) -> dict[str, int]:
    """CPU in millicores, memory in bytes; generated Pods have one container."""
    asked = pod["spec"]["containers"][0].get("resources", {}).get("requests", {})
    return {name: milli(text) if name == "cpu" else int(text) for name, text in asked.items()}


def allocatable(node: Object) -> dict[str, int]:
    found = node["status"]["allocatable"]
    return {name: milli(text) if name == "cpu" else int(text) for name, text in found.items()}


def selects(selector: Object | None, have: Mapping[str, str]) -> bool:
    """A label selector; none at all matches nothing."""
    if selector is None:
        return False
    for key, value in selector.get("matchLabels", {}).items():
        if have.get(key) != value:
            return False
    return all(meets(expression, have) for expression in selector.get("matchExpressions", []))


def meets(expression: Object, have: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    return {
        "In": have.get(key) in values,
        "NotIn": have.get(key) not in values,
        "Exists": key in have,
        "DoesNotExist": key not in have,
    }[expression["operator"]]


# Filters


def affinity(pod: Object, kind: str, strength: str) -> list[Object]:
    found: list[Object] = pod["spec"].get("affinity", {}).get(kind, {}).get(strength, [])
    return found


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def node_wanted(pod: Object, node: Object) -> bool:
    for key, value in pod["spec"].get("nodeSelector", {}).items():
        if labels(node).get(key) != value:
            return False
    required = pod["spec"].get("affinity", {}).get("nodeAffinity", {}).get(REQUIRED)
    return required is None or any(
        all(meets(e, labels(node)) for e in term["matchExpressions"]) for term in required["nodeSelectorTerms"]
    )


def tolerated(pod: Object, taint: Object) -> bool:
    for toleration in pod["spec"].get("tolerations", []):
        if toleration.get("effect") and toleration["effect"] != taint["effect"]:
            continue
        if toleration.get("key") and toleration["key"] != taint["key"]:
            continue
        if toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def untolerated(pod: Object, node: Object, effects: tuple[str, ...]) -> int:
    return sum(taint["effect"] in effects and not tolerated(pod, taint) for taint in node["spec"].get("taints", []))


def about(term: Object, bearer: Object, other: Object, world: World) -> bool:
    """Whether a term of ``bearer`` speaks of ``other``."""
    namespace = other["metadata"]["namespace"]
    names = term.get("namespaces") or []
    elsewhere = term.get("namespaceSelector")
    if not names and elsewhere is None:
        names = [bearer["metadata"]["namespace"]]
    if namespace not in names and not selects(elsewhere, world.namespaces.get(namespace, {})):
        return False
    if not selects(term.get("labelSelector"), labels(other)):
        return False
    for key in term.get("matchLabelKeys", []):
        if key in labels(bearer) and labels(other).get(key) != labels(bearer)[key]:
            return False
    return all(
        key not in labels(bearer) or labels(other).get(key) != labels(bearer)[key]
        for key in term.get("mismatchLabelKeys", [])
    )


def together(world: World, one: Object, other: Object, key: str) -> bool:
    """Whether two nodes share a domain."""
    return key in labels(one) and labels(one)[key] == labels(other).get(key)


def placed_with(world: World, node: Object, key: str) -> list[Object]:
    """Pods in the node's domain."""
    return [pod for pod in world.pods.values() if together(world, node, world.nodes[pod["spec"]["nodeName"]], key)]


def affinity_verdict(pod: Object, node: Object, world: World) -> str:
    required = affinity(pod, "podAffinity", REQUIRED)
    if required:

        def is_friend(other: Object) -> bool:
            return all(about(term, pod, other, world) for term in required)

        if any(term["topologyKey"] not in labels(node) for term in required):
            return "node(s) didn't match pod affinity rules"
        met = all(any(map(is_friend, placed_with(world, node, term["topologyKey"]))) for term in required)
        anywhere = any(
            is_friend(other)
            and any(t["topologyKey"] in labels(world.nodes[other["spec"]["nodeName"]]) for t in required)
            for other in world.pods.values()
        )
        if not met and (anywhere or not is_friend(pod)):
            return "node(s) didn't match pod affinity rules"
    for term in affinity(pod, "podAntiAffinity", REQUIRED):
        if any(about(term, pod, other, world) for other in placed_with(world, node, term["topologyKey"])):
            return "node(s) didn't match pod anti-affinity rules"
    for other in world.pods.values():
        home = world.nodes[other["spec"]["nodeName"]]
        for term in affinity(other, "podAntiAffinity", REQUIRED):
            if about(term, other, pod, world) and together(world, node, home, term["topologyKey"]):
                return "node(s) didn't satisfy existing pods anti-affinity rules"
    return ""


def counts(constraint: Object, pod: Object, other: Object) -> bool:
    return (
        other["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and selects(constraint.get("labelSelector"), labels(other))
        and all(
            key not in labels(pod) or labels(other).get(key) == labels(pod)[key]
            for key in constraint.get("matchLabelKeys", [])
        )
    )


def is_counted(constraint: Object, pod: Object, node: Object) -> bool:
    if constraint.get("nodeAffinityPolicy") != "Ignore" and not node_wanted(pod, node):
        return False
    return constraint.get("nodeTaintsPolicy") != "Honor" or not untolerated(pod, node, ("NoSchedule", "NoExecute"))


def spread_constraints(pod: Object, strength: str) -> list[Object]:
    found = pod["spec"].get("topologySpreadConstraints", [])
    return [constraint for constraint in found if constraint["whenUnsatisfiable"] == strength]


def spread_verdict(pod: Object, node: Object, world: World) -> str:
    hard = spread_constraints(pod, "DoNotSchedule")
    for constraint in hard:
        key = constraint["topologyKey"]
        if key not in labels(node):
            return "node(s) didn't match pod topology spread constraints (missing required label)"
        domains: dict[str, int] = {}
        for name, other in world.nodes.items():
            if all(c["topologyKey"] in labels(other) for c in hard) and is_counted(constraint, pod, other):
                number = sum(counts(constraint, pod, one) for one in world.on(name))
                domains[labels(other)[key]] = domains.get(labels(other)[key], 0) + number
        lowest = min(domains.values(), default=0) if len(domains) >= constraint.get("minDomains", 1) else 0
        here = domains.get(labels(node)[key], 0) + counts(constraint, pod, pod)
        if here - lowest > constraint["maxSkew"]:
            return "node(s) didn't match pod topology spread constraints"
    return ""


def room_verdict(pod: Object, node: Object, world: World) -> list[str]:
    here, offered = world.on(node["metadata"]["name"]), allocatable(node)
    found = ["Too many pods"] if len(here) >= offered.get("pods", 0) else []
    for resource, wanted in requests(pod).items():
        taken = sum(requests(other).get(resource, 0) for other in here)
        if wanted and taken + wanted > offered.get(resource, 0):
            found.append(f"Insufficient {resource}")
    return found


def host_ports(pod: Object) -> set[int]:
    return {port["hostPort"] for port in pod["spec"]["containers"][0].get("ports", [])}


def verdict(pod: Object, node: Object, world: World) -> list[str]:
    """Why the Pod must not go to the node: reasons of the first filter that refuses; none if it may."""
    unschedulable = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    if node["spec"].get("unschedulable") and not tolerated(pod, unschedulable):
        return ["node(s) were unschedulable"]
    if untolerated(pod, node, ("NoSchedule", "NoExecute")):
        return ["node(s) had untolerated taint(s)"]
    if not node_wanted(pod, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    if any(host_ports(pod) & host_ports(other) for other in world.on(node["metadata"]["name"])):
        return ["node(s) didn't have free ports for the requested pod ports"]
    if found := room_verdict(pod, node, world):
        return found
    if reason := spread_verdict(pod, node, world):
        return [reason]
    reason = affinity_verdict(pod, node, world)
    return [reason] if reason else []


def is_unresolvable(pod: Object, node: Object, reasons: list[str]) -> bool:
    if reasons[0].startswith(("Insufficient", "Too many")):
        return any(wanted > allocatable(node).get(name, 0) for name, wanted in requests(pod).items())
    return reasons[0] in (
        "node(s) were unschedulable",
        "node(s) had untolerated taint(s)",
        "node(s) didn't match Pod's node affinity/selector",
        "node(s) didn't match pod affinity rules",
        "node(s) didn't match pod topology spread constraints (missing required label)",
    )


# Scores


def assumed(pod: Object) -> dict[str, int]:
    return {"cpu": 100, "memory": 200 << 20} | requests(pod)


def least_allocated(pod: Object, node: Object, world: World) -> int:
    found = []
    for resource in ("cpu", "memory"):
        offered = allocatable(node).get(resource, 0)
        taken = sum(assumed(other)[resource] for other in [*world.on(node["metadata"]["name"]), pod])
        if offered:
            found.append((offered - taken) * 100 // offered if taken <= offered else 0)
    return sum(found) // len(found) if found else 0


def balance(pods: list[Object], node: Object) -> int:
    offered = allocatable(node)
    shares = [
        min(1.0, sum(requests(pod).get(resource, 0) for pod in pods) / offered[resource])
        for resource in ("cpu", "memory")
        if offered.get(resource)
    ]
    deviation = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
    return int((1 - deviation) * 100)


def balanced(pod: Object, node: Object, world: World) -> int:
    if not requests(pod):
        return 0
    here = world.on(node["metadata"]["name"])
    return 50 + (50 + balance([*here, pod], node) - balance(here, node)) // 2


def node_preference(pod: Object, node: Object) -> int:
    terms = affinity(pod, "nodeAffinity", PREFERRED)
    return sum(
        term["weight"] for term in terms if all(meets(e, labels(node)) for e in term["preference"]["matchExpressions"])
    )


def near(pod: Object, node: Object, world: World) -> int:
    """How much the Pods around a node weigh for and against it."""
    total = 0
    for other in world.pods.values():
        home = world.nodes[other["spec"]["nodeName"]]
        for bearer, spoken_of in ((pod, other), (other, pod)):
            for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
                for weighted in affinity(bearer, kind, PREFERRED):
                    term = weighted["podAffinityTerm"]
                    if about(term, bearer, spoken_of, world) and together(world, node, home, term["topologyKey"]):
                        total += sign * weighted["weight"]
        for term in affinity(other, "podAffinity", REQUIRED):
            if about(term, other, pod, world) and together(world, node, home, term["topologyKey"]):
                total += 1
    return total


def spread_points(pod: Object, feasible: list[Object], world: World) -> dict[str, int]:
    soft = spread_constraints(pod, "ScheduleAnyway")
    if not soft:
        return {}
    scored = [node for node in feasible if all(c["topologyKey"] in labels(node) for c in soft)]
    points = {}
    for node in scored:
        total = 0.0
        for constraint in soft:
            key = constraint["topologyKey"]
            if key == HOSTNAME:
                number = sum(counts(constraint, pod, other) for other in world.on(node["metadata"]["name"]))
                size = len(scored)
            else:
                number = sum(
                    sum(counts(constraint, pod, one) for one in world.on(name))
                    for name, other in world.nodes.items()
                    if together(world, node, other, key)
                    and all(c["topologyKey"] in labels(other) for c in soft)
                    and is_counted(constraint, pod, other)
                )
                size = len({labels(other)[key] for other in scored})
            total += number * log(size + 2) + constraint["maxSkew"] - 1
        points[node["metadata"]["name"]] = floor(total + 0.5)
    if not points:
        return {}
    highest, lowest = max(points.values()), min(points.values())
    return {name: 100 * (highest + lowest - p) // highest if highest else 100 for name, p in points.items()}


def image_points(pod: Object, node: Object, world: World) -> int:
    image = pod["spec"]["containers"][0]["image"]
    name = image if ":" in image else f"{image}:latest"

    def size_on(other: Object) -> int | None:
        return next((i["sizeBytes"] for i in other["status"].get("images", []) if name in i["names"]), None)

    size = size_on(node)
    if size is None:
        return 0
    share = sum(size_on(other) is not None for other in world.nodes.values()) / len(world.nodes)
    low, high = 23 << 20, 1000 << 20
    return 100 * (min(max(int(size * share), low), high) - low) // (high - low)


def stretched(raw: dict[str, int], reverse: bool) -> dict[str, int]:
    highest = max(raw.values(), default=0)
    points = {name: 100 * value // highest if highest else 0 for name, value in raw.items()}
    return {name: 100 - value for name, value in points.items()} if reverse else points


def best(pod: Object, world: World) -> list[str]:
    """Nodes with the highest score among those the Pod may go to."""
    feasible = [node for node in world.nodes.values() if not verdict(pod, node, world)]
    if not feasible:
        return []
    names = [node["metadata"]["name"] for node in feasible]
    soft_taints = {n["metadata"]["name"]: untolerated(pod, n, ("PreferNoSchedule",)) for n in feasible}
    wishes = {n["metadata"]["name"]: node_preference(pod, n) for n in feasible}
    company = {n["metadata"]["name"]: near(pod, n, world) for n in feasible}
    low, high = min(company.values()), max(company.values())
    spread = spread_points(pod, feasible, world)
    taints, affine = stretched(soft_taints, reverse=True), stretched(wishes, reverse=False)
    totals = {}
    for node, name in zip(feasible, names, strict=True):
        totals[name] = (
            least_allocated(pod, node, world)
            + balanced(pod, node, world)
            + image_points(pod, node, world)
            + 3 * taints[name]
            + 2 * affine[name]
            + 2 * spread.get(name, 0)
            + 2 * (int(100 * ((company[name] - low) / (high - low))) if high > low else 0)
        )
    highest = max(totals.values())
    return sorted(name for name, total in totals.items() if total == highest)


# Preemption


def victims(pod: Object, name: str, world: World, budgets: Sequence[Object]) -> tuple[list[str], int] | None:
    """Whom to evict from a node, most important first, and how many against their budgets; None if it is no use."""
    node = world.nodes[name]
    reasons = verdict(pod, node, world)
    if is_unresolvable(pod, node, reasons):
        return None
    lower = sorted(
        (other for other in world.on(name) if priority(other) < priority(pod)),
        key=lambda other: (-priority(other), other["status"].get("startTime", "9"), other["metadata"]["uid"]),
    )
    without = World(world.nodes, {key: p for key, p in world.pods.items() if p not in lower}, world.namespaces)
    if not lower or verdict(pod, node, without):
        return None
    left = [budget["allowed"] for budget in budgets]
    against: list[Object] = []
    for other in lower:
        for number, budget in enumerate(budgets):
            here = budget["namespace"] == other["metadata"]["namespace"]
            if here and labels(other) and selects(budget["selector"], labels(other)):
                left[number] -= 1
                if left[number] < 0 and other not in against:
                    against.append(other)
    leaving = []
    for other in [*against, *(o for o in lower if o not in against)]:
        with_it = World(world.nodes, without.pods | {other["metadata"]["uid"]: other}, world.namespaces)
        if verdict(pod, node, with_it):
            leaving.append(other)
        else:
            without = with_it
    ordered = [other["metadata"]["uid"] for other in lower if other in leaving]
    return ordered, sum(other in against for other in leaving)
